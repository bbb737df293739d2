"""The handle of the proxy that runs beside the services."""

import subprocess
import sys
from pathlib import Path

STOP_TIMEOUT = 10


class Network:
    """The way from one service to its database."""

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
        """Change how the network is (the modes: proxy.py), and return when it is so."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{mode}\n")
        self._process.stdin.flush()
        assert self._line() == mode

    def stop(self) -> None:
        self._process.communicate(timeout=STOP_TIMEOUT)  # the end of its input is its end

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
