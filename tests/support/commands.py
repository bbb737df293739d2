"""The command line in a separate process with a minimal environment."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner, Result

from support.programs import LOG, Program, attempt, running
from support.waiting import answers
from tasks_backend.cli import app
from tasks_backend.settings import Settings

START_TIMEOUT = 60  # seconds
COMMAND = (sys.executable, "-m", "tasks_backend")


def run(
    home: Path, *arguments: str, command: Sequence[str] = COMMAND, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, without a terminal."""
    variables = environment(home, **variables)
    return attempt(*command, *arguments, directory=home, environment=variables)


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


class Service(NamedTuple):
    """A running `tasks-backend serve` or `dev`."""

    program: Program
    url: str


@contextlib.contextmanager
def process(
    home: Path,
    *arguments: str,
    command: Sequence[str] = COMMAND,
    start: str = "serve",
    ready: str = "/livez",
    **variables: str,
) -> Iterator[Service]:
    """Run the service from when it is ready to the block's end, and end it as Ctrl-C does."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(
        [*command, start, "--port", str(port), *arguments],
        home / LOG,
        environment(home, **variables),
        lambda: answers(url + ready),
        ending=signal.SIGINT,
    ) as program:
        yield Service(program, url)


@contextlib.contextmanager
def serving(home: Path, *arguments: str, **options: Any) -> Iterator[str]:
    """Run the service, and yield its base URL."""
    with process(home, *arguments, **options) as service:
        yield service.url


def environment(home: Path, **variables: str) -> dict[str, str]:
    """A minimal environment for a process; no PostgreSQL on PATH."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    return {"PATH": "/usr/sbin:/sbin", "HOME": str(home), "COLUMNS": "200", **kept, **variables}
