"""A program as a child process, ended by its process id."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

LOG = "server.log"
STOP_TIMEOUT = 30  # seconds


@contextlib.contextmanager
def process(
    command: Sequence[str], directory: Path, variables: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server until the block ends. Its log is in the given directory."""
    with (directory / LOG).open("wb") as output:
        started = subprocess.Popen(
            command,
            cwd=directory,
            env={"PATH": os.environ["PATH"], "HOME": str(directory), **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        _end(started)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it with SIGTERM, then kill the rest of its session."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_TIMEOUT)
