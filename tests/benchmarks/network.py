"""A distant database: runs the delay proxy and sets its delay."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from psycopg2.extensions import make_dsn, parse_dsn

PROGRAM = Path(__file__).with_name("delay_proxy.py")
STOP_TIMEOUT = 30  # seconds


@dataclass(frozen=True)
class Network:
    """The network between the servers and a database."""

    port: int
    pid: int
    _words: IO[str]
    _answers: IO[str]

    def delay(self, seconds: float) -> None:
        """Make each round trip longer by this delay, from now on."""
        self._ask(f"delay {seconds}")

    def trips(self) -> int:
        """Return the round trips so far of all connections, including connecting."""
        return self._ask("trips")

    def url(self, database: str) -> str:
        """Return the URL of a database behind the proxy."""
        return str(make_dsn(database, host="127.0.0.1", port=self.port, sslmode="disable"))

    def _ask(self, line: str) -> int:
        self._words.write(f"{line}\n")
        self._words.flush()
        return int(self._answers.readline())


@contextlib.contextmanager
def network(upstream: str) -> Iterator[Network]:
    """Run the proxy in front of a Unix socket until the block ends."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), upstream],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield Network(port, process.pid, process.stdin, process.stdout)
            process.stdin.close()
            process.wait(STOP_TIMEOUT)
        finally:
            process.kill()


def socket_of(database: str) -> str:
    """Return the Unix socket on which the server of a database listens."""
    known = parse_dsn(database)
    return f"{known['host']}/.s.PGSQL.{known.get('port', '5432')}"
