"""`tasks-backend dev` as a separate process."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

PATIENCE = 90  # seconds


@dataclass(frozen=True)
class Development:
    """A running `tasks-backend dev`, and its printed token."""

    url: str
    token: str


@contextlib.contextmanager
def development(home: Path, port: int, **variables: str) -> Iterator[Development]:
    """Run `dev` in a directory; end it with SIGINT after the block."""
    output = home / "dev.log"
    url = f"http://127.0.0.1:{port}"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks_backend", "dev", "--port", str(port)],
            cwd=home,
            env={"PATH": os.environ["PATH"], "HOME": str(home), **variables},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, url, output)
        token = re.search(r"^ey[\w.-]+$", output.read_text(), re.MULTILINE)
        assert token, output.read_text()
        yield Development(url, token[0])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(PATIENCE)


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, output: Path) -> None:
    give_up = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < give_up, f"dev does not answer: {output.read_text()}"
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        time.sleep(0.1)
