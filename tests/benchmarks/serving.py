"""The service with one worker on a separate database."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from support.commands import free_port

from benchmarks.environment import environment
from benchmarks.programs import running
from benchmarks.servers import SERVERS


@contextlib.contextmanager
def serving(database: str, key_set: str, home: Path) -> Iterator[str]:
    """Run the service until the block ends, and yield its base address."""
    port = str(free_port())
    variables = {"LOG_LEVEL": "warning", **environment(database, key_set)}
    command = [part.replace("{port}", port) for part in SERVERS[0].command]
    base = f"http://127.0.0.1:{port}"
    with running(command, home, variables, f"{base}/livez"):
        yield base
