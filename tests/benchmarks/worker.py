"""One worker of the service, started alone and measured from its start."""

import http.client
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.commands import START_TIMEOUT, free_port
from support.programs import LOG, running

from benchmarks import usage

OFTEN = 0.005  # seconds between two polls for an answer


@dataclass(frozen=True)
class Worker:
    """A process with its start time (monotonic clock) and its log."""

    pid: int
    port: int
    began: float
    log: Path

    def since(self) -> "Passed":
        """Return the time and CPU since its start."""
        return Passed(time.monotonic() - self.began, usage.of_tree(self.pid).cpu)

    def status(self, path: str, token: str = "") -> int:
        """Return the status of its answer to a GET, or 0 without an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_TIMEOUT)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()


@dataclass(frozen=True)
class Passed:
    """Seconds by the clock, and of CPU."""

    wall: float
    cpu: float


@contextmanager
def starting(home: Path, variables: Mapping[str, str], *options: str) -> Iterator[Worker]:
    """Run the service with these interpreter options until the block ends."""
    port, began = free_port(), time.monotonic()
    command = [sys.executable, *options, "-m", "tasks_backend", "serve", "--port", str(port)]
    with running(command, home / LOG, variables) as server:
        yield Worker(server.pid, port, began, home / LOG)


def first_answer(worker: Worker) -> Passed:
    """Return the time and CPU until the first answer of the service."""
    while worker.status("/livez") != 200:
        passed = worker.since()  # fails once it has ended
        assert passed.wall < START_TIMEOUT, worker.log.read_text()
        time.sleep(OFTEN)
    return worker.since()
