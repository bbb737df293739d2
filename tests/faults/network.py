"""Controls the proxy process between a service and its database."""

import subprocess
import sys
from pathlib import Path

STOP_TIMEOUT = 10


class Network:
    """The network between one service and its database."""

    def __init__(self, upstream: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("proxy.py")), upstream],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = int(self._line())

    def turn(self, mode: str) -> None:
        """Set the mode of the network (see proxy.py), and return when it is active."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{mode}\n")
        self._process.stdin.flush()
        assert self._line() == mode

    def stop(self) -> None:
        self._process.communicate(timeout=STOP_TIMEOUT)  # it ends at the end of its input

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
