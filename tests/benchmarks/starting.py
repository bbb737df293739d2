"""Start a server from its description and check that it does the same job."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg2.extensions import parse_dsn
from support.commands import free_port
from support.programs import LOG, running
from support.waiting import listens

from benchmarks import load, same_job, usage
from benchmarks.data import PEERS, Data
from benchmarks.load import Burst
from benchmarks.pgbench import Pgbench
from benchmarks.programs import install
from benchmarks.progress import tell
from benchmarks.servers import Server
from benchmarks.usage import Usage
from tasks_backend.testing.waiting import until


@dataclass(frozen=True)
class Running:
    """A running server."""

    server: Server
    base: str
    pid: int

    def usage(self) -> Usage:
        """Return the usage so far of all its processes."""
        return usage.of_tree(self.pid)

    def send(self, operation: str, requests: Path, seconds: int) -> Burst:
        """Send it the requests of a file, all of this operation."""
        return load.send(self.base, requests, seconds)


@contextlib.contextmanager
def started(
    server: Server, data: Data, tokens: Mapping[str, str], variables: Mapping[str, str], home: Path
) -> Iterator[Running | Pgbench]:
    """Run a server until the block ends, in a new directory.
    The variables are the service's settings; a peer's database is added.
    """
    if server.protocol:
        home.mkdir()
        yield Pgbench(server, variables["DATABASE_URL"], data.sample(1), home)
        return
    if server.source:
        tell(f"installing {server.name}")
        install(PEERS / server.source, home)
    else:
        home.mkdir()
    number = free_port()
    port = str(number)
    given = {**variables, **dict(server.variables), "PORT": port}
    if server.kind == "peer":
        login = data.make_schema(server.schema, own_rows=server.promises)
        given |= {"SCHEMA": server.schema, **_libpq(variables["DATABASE_URL"], login)}
    base = f"http://127.0.0.1:{port}"
    command = [part.replace("{port}", port) for part in server.command]
    with running(command, home / LOG, given, lambda: listens(number)) as program:
        if server.kind != "limit":
            (person, token), (_, other_token) = list(tokens.items())[:2]
            count = same_job.check(base, person, token, other_token, problems=server.promises)
            if server.promises:
                until(lambda: _lines(home / LOG) == count, "a log line for each request")
        yield Running(server, base, program.pid)


def _lines(log: Path) -> int:
    """Return how many requests have a line of JSON with a status in the log."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return sum("status" in json.loads(line) for line in lines)


def _libpq(database: str, login: str) -> dict[str, str]:
    """The variables of libpq, which drivers of all languages read."""
    known = parse_dsn(database)
    told = {"PGHOST": known["host"], "PGDATABASE": known["dbname"], "PGUSER": login}
    return told | ({"PGPORT": known["port"]} if "port" in known else {})
