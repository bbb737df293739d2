"""`tasks-backend dev` as a process, and tokens from its command."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
from support.commands import free_port

COMMAND = (sys.executable, "-m", "tasks_backend")
START_TIMEOUT = 90  # seconds, on a busy machine
LEEWAY = 10  # seconds for which the service still accepts an expired token


@contextlib.contextmanager
def development(directory: Path) -> Iterator[dict[str, str]]:
    """Run it in a directory; yield the collection's environment, as filled in by a user."""
    url = f"http://127.0.0.1:{free_port()}"
    log = directory / "dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *COMMAND,
                "dev",
                "--no-reload",
                "--port",
                url.rpartition(":")[2],
                "--data-dir",
                "data",
            ],
            cwd=directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_alive(process, url, log)
        expired, minted = _token(directory, "alice", "--ttl", "1"), time.monotonic()
        values = {
            "baseUrl": url,
            "token": _token(directory, "alice"),
            "otherToken": _token(directory, "bob"),
            "expiredToken": expired,
        }
        time.sleep(max(0, minted + 1 + LEEWAY + 1 - time.monotonic()))
        yield values
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


def _token(directory: Path, *arguments: str) -> str:
    return subprocess.run(
        [*COMMAND, "token", *arguments, "--data-dir", "data"],
        cwd=directory,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.strip()


def _wait_until_alive(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/livez", timeout=5).status_code == 200:
                return
        time.sleep(0.1)


def _environment() -> dict[str, str]:
    """The variables that any program needs, without settings of this shell."""
    kept = ("PATH", "HOME", "TMPDIR", "LANG")
    return {name: os.environ[name] for name in kept if name in os.environ}
