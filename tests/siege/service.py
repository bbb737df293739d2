"""The service as a separate process; its log goes through a pipe to a reader that can stop."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
from faults.programs import wait_until
from support.commands import COMMAND, environment, free_port

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
        self._variables = {
            "REQUEST_TIMEOUT": str(REQUEST_TIMEOUT),
            "PLUGINS": "metrics,siege",
            "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics"),
            "PYTHONPATH": os.pathsep.join(map(str, (home, *PATHS))),
            **variables,
        }

    def start(self) -> None:
        """Start it and wait until all its workers serve."""
        (self._home / "metrics").mkdir()
        installed = self._home / "siege_probe-1.dist-info"
        installed.mkdir()
        for name, text in METADATA.items():
            (installed / name).write_text(text)
        self.log = LogReader(self._home / "service.log")
        self._process = subprocess.Popen(
            [*COMMAND, "serve", "--port", str(self.port), "--workers", str(self.workers)],
            stdin=subprocess.DEVNULL,
            stdout=self.log.pipe,
            stderr=self.log.pipe,
            env=environment(self._home, **self._variables),
            cwd=self._home,
            start_new_session=True,
        )
        wait_until(self._lives, "the service to live")

    def processes(self) -> list[psutil.Process]:
        """Return the processes that serve."""
        process = psutil.Process(self._process.pid)
        if self.workers == 1:
            return [process]
        return [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]

    def stop(self) -> float:
        """Stop it, wait for at most the allowed time, and return the seconds it took. Processes
        that are left are killed; the result is then infinity.
        """
        family = psutil.Process(self._process.pid).children(recursive=True)
        began = time.monotonic()
        self._process.terminate()
        try:
            self._process.wait(SHUTDOWN_TIMEOUT + SLACK)
            took = time.monotonic() - began
        except subprocess.TimeoutExpired:
            took = float("inf")
        self._kill(family)
        return took

    def kill(self) -> None:
        """Kill it, if it runs."""
        if self._process.poll() is None:
            self._kill(psutil.Process(self._process.pid).children(recursive=True))
        self.log.end()

    def tracebacks(self) -> int:
        """Count the tracebacks in the log. The service must have ended."""
        self.log.end()
        return self.log.path.read_text(errors="replace").count("Traceback (most recent")

    def _kill(self, family: list[psutil.Process]) -> None:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.kill()
        self._process.wait(20)

    def _lives(self) -> bool:
        assert self._process.poll() is None, self.log.path.read_text(errors="replace")
        try:
            answer = httpx2.get(f"{self.url}/livez", timeout=5)
        except httpx2.TransportError:
            return False
        return answer.status_code == 200 and len(self.processes()) == self.workers


@contextlib.contextmanager
def running(home: Path, workers: int, variables: dict[str, str]) -> Iterator[Service]:
    """Serve while the block runs."""
    service = Service(home, workers, variables)
    service.start()
    try:
        yield service
    finally:
        service.kill()
