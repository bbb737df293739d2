"""Servers as child processes, and the installation of their packages."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx2
from support.programs import LOG, process

INSTALL_TIMEOUT = 300  # seconds
START_TIMEOUT = 60


def install(source: Path, directory: Path) -> None:
    """Copy a peer's files to a directory and install their packages there.

    Of the npm scripts, only the peer's `build` is run, if it exists.
    """
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns("__pycache__"))
    if (directory / "package.json").exists():
        quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
        _run("npm", "install", *quiet, cwd=directory)
        _run("npm", "run", "build", "--if-present", cwd=directory)
    else:
        _run("uv", "venv", "--quiet", "--python", sys.executable, ".venv", cwd=directory)
        packages = ("--python", ".venv/bin/python", "-r", "requirements.txt")
        _run("uv", "pip", "install", "--quiet", *packages, cwd=directory)


@contextlib.contextmanager
def running(
    command: Sequence[str], directory: Path, variables: Mapping[str, str], ready: str
) -> Iterator[int]:
    """Run a server until the block ends, and yield its process id once it answers at an address.
    Any answer is sufficient.
    """
    log = directory / LOG
    with process(command, directory, variables) as server:
        give_up = time.monotonic() + START_TIMEOUT
        while not _answers(ready):
            assert server.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < give_up, f"no answer: {log.read_text(errors='replace')}"
            time.sleep(0.1)
        yield server.pid


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        httpx2.get(url, timeout=5)
        return True
    return False


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
