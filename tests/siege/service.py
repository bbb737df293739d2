"""The service as a separate process; its log goes through a pipe to a reader that can stop."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from faults.programs import workers
from support.commands import COMMAND, environment, free_port
from support.programs import Program
from support.waiting import answers

import tasks_backend
from tasks_backend.serving.server import SHUTDOWN_TIMEOUT

REQUEST_TIMEOUT = 5.0  # seconds, as in the honest load
SLACK = 5.0  # seconds that a busy machine may add to the grace period
PATHS = (Path(tasks_backend.__file__).parents[1], Path(__file__).parents[1])
METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: siege-probe\nVersion: 1\n",
    "entry_points.txt": "[tasks_backend.plugins]\nsiege = siege.probe:plugin\n",
}


class LogReader:
    """Reads and stores the service's standard error; can be stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("wb") as kept:
            self._process = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=kept)
        assert self._process.stdin is not None
        self.pipe = self._process.stdin

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Read the rest. No process may have the pipe open any more."""
        self.go_on()
        self.pipe.close()
        self._process.wait(20)


class Service:
    """`tasks-backend serve --workers N`, with the plugin `metrics` and the session's plugin."""

    def __init__(self, home: Path, workers: int, variables: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.workers = workers
        self._home = home
        variables = {
            "REQUEST_TIMEOUT": str(REQUEST_TIMEOUT),
            "PLUGINS": "metrics,siege",
            "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics"),
            "PYTHONPATH": os.pathsep.join(map(str, (home, *PATHS))),
            **variables,
        }
        command = [*COMMAND, "serve", "--port", str(self.port), "--workers", str(workers)]
        self._program = Program(command, home / "service.log", environment(home, **variables))

    def start(self) -> None:
        """Start it and wait until all its workers serve."""
        (self._home / "metrics").mkdir()
        installed = self._home / "siege_probe-1.dist-info"
        installed.mkdir()
        for name, text in METADATA.items():
            (installed / name).write_text(text)
        self.log = LogReader(self._home / "service.log")
        self._program.start(self.log.pipe)
        self._program.wait_for(self._lives, "the service to live")

    def processes(self) -> list[psutil.Process]:
        """Return the processes that serve."""
        if self.workers == 1:
            return [psutil.Process(self._program.pid)]
        return workers(self._program)

    def stop(self) -> float:
        """Stop it, wait for at most the allowed time, and return the seconds it took. Processes
        that are left are killed; the result is then infinity.
        """
        began = time.monotonic()
        try:
            self._program.stop(timeout=SHUTDOWN_TIMEOUT + SLACK)
        except subprocess.TimeoutExpired:
            return float("inf")
        return time.monotonic() - began

    def kill(self) -> None:
        """Kill it, if it runs."""
        self._program.kill()
        self.log.end()

    def tracebacks(self) -> int:
        """Count the tracebacks in the log. The service must have ended."""
        self.log.end()
        return self.log.path.read_text(errors="replace").count("Traceback (most recent")

    def _lives(self) -> bool:
        return answers(f"{self.url}/livez") and len(self.processes()) == self.workers


@contextlib.contextmanager
def running(home: Path, workers: int, variables: dict[str, str]) -> Iterator[Service]:
    """Serve while the block runs."""
    service = Service(home, workers, variables)
    service.start()
    try:
        yield service
    finally:
        service.kill()
