"""The command line in a separate process with a minimal environment."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
from typer.testing import CliRunner, Result

from tasks_backend.cli import app
from tasks_backend.settings import Settings

START_TIMEOUT = 60  # seconds
COMMAND = (sys.executable, "-m", "tasks_backend")


def run(
    home: Path, *arguments: str, command: Sequence[str] = COMMAND, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, without a terminal."""
    return subprocess.run(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT,
        env=environment(home, **variables),
        cwd=home,
        check=False,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def invoked(home: Path, *arguments: str, **variables: str) -> Result:
    """Run a command in this process, without other settings."""
    unset: dict[str, str | None] = {name.upper(): None for name in Settings.model_fields}
    with contextlib.chdir(home):
        return CliRunner().invoke(app, arguments, env={**unset, **variables})


@contextlib.contextmanager
def serving(
    home: Path,
    *arguments: str,
    command: Sequence[str] = COMMAND,
    start: str = "serve",
    **variables: str,
) -> Iterator[str]:
    """Serve with `tasks-backend serve`, or `dev`, and yield the base URL."""
    port = free_port()
    with (home / "serve.log").open("w+") as log:
        process = subprocess.Popen(
            [*command, start, "--port", str(port), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(home, **variables),
            cwd=home,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            give_up = time.monotonic() + START_TIMEOUT
            while not _answers(url):
                assert process.poll() is None, (home / "serve.log").read_text()
                assert time.monotonic() < give_up, "the service does not answer"
                time.sleep(0.05)
            yield url
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait(START_TIMEOUT)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        return httpx2.get(f"{url}/livez", timeout=5).status_code == 200
    return False


def environment(home: Path, **variables: str) -> dict[str, str]:
    """A minimal environment for a process; no PostgreSQL on PATH."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    return {"PATH": "/usr/sbin:/sbin", "HOME": str(home), "COLUMNS": "200", **kept, **variables}
