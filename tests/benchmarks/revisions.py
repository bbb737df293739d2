"""Another revision of the service beside the present one, each on a database of its own."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.commands import free_port
from support.programs import LOG, output, running
from support.waiting import listens

from benchmarks.data import Data
from benchmarks.environment import environment
from benchmarks.operations import Operations
from benchmarks.servers import SERVERS
from benchmarks.starting import Running
from tasks_backend.testing.databases import NEON_OWNER, Cluster

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Revision:
    """A running revision of the service, with its requests and rows."""

    running: Running
    operations: Operations
    data: Data


@contextlib.contextmanager
def checked_out(revision: str, directory: Path) -> Iterator[Path]:
    """Check the revision out into a new directory, until the block ends."""
    git = ("git", "-C", str(ROOT), "worktree")
    output(*git, "add", "--detach", str(directory), revision)
    try:
        yield directory
    finally:
        output(*git, "remove", "--force", str(directory))


@contextlib.contextmanager
def serving(
    source: Path,
    cluster: Cluster,
    key_set: str,
    tokens: Mapping[str, str],
    home: Path,
    python: str = sys.executable,
) -> Iterator[Revision]:
    """Run the service from its source until the block ends, in a Python with its packages.

    The revision migrates its database itself, so the two may have different schemas.
    """
    home.mkdir()
    _, database = cluster.database(cluster.login(NEON_OWNER))
    port = free_port()
    variables = {**environment(database, key_set), "PYTHONPATH": str(source)}
    command = (python, "-m", "tasks_backend")
    path = {"PATH": os.environ["PATH"], "HOME": str(home)}
    output(*command, "migrate", directory=home, environment={**path, **variables})
    data = Data(cluster, database)
    serve = [*command, "serve", "--port", str(port)]
    with running(serve, home / LOG, variables, lambda: listens(port)) as program:
        server = Running(SERVERS[0], f"http://127.0.0.1:{port}", program.pid)
        yield Revision(server, Operations(data, tokens, home), data)
