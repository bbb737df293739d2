"""A client connection that can send any bytes and reads answers one by one."""

import select
import socket
import time
from collections.abc import Iterable
from typing import Self

from support.answers import Answer, first_answer

PAUSE = 0.01  # seconds between two pieces, so that each is a separate segment
PATIENCE = 10.0  # seconds to wait for an expected answer


class Lost(Exception):
    """No complete answer: the connection ended, or the time was over."""


class Wire:
    """One connection to a port on loopback. `received` has all received bytes."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, pieces: Iterable[bytes]) -> None:
        """Send the pieces one by one. Raises OSError if the other side has closed."""
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(PAUSE)
            self._socket.sendall(piece)

    def answer(self, method: str = "GET", patience: float = PATIENCE) -> Answer:
        """Return the next final answer, to a request with this method. Raises Lost."""
        give_up = time.monotonic() + patience
        ended = False
        while True:
            try:
                found = first_answer(self.unread, method, ended=ended)
            except ValueError:
                raise Lost(f"no status: {self.unread[:100]!r}") from None
            if found is not None:
                break
            if ended:
                raise Lost("the connection ended")
            ended = not self._more(give_up)
        answer, length = found
        self._read += length
        return answer

    @property
    def unread(self) -> bytes:
        """The bytes after the answers read so far."""
        return bytes(self.received[self._read :])

    def ended(self) -> bool:
        """Read the available bytes, and return whether the other side has closed."""
        while select.select([self._socket], [], [], 0)[0]:
            if not self._more(time.monotonic() + PATIENCE):
                return True
        return False

    def _more(self, give_up: float) -> bool:
        """Read the next bytes; return whether there were any. Raises Lost on a timeout."""
        self._socket.settimeout(max(give_up - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise Lost("no answer in time") from None
        except OSError:
            return False
        finally:
            self._socket.settimeout(PATIENCE)
        self.received += data
        return bool(data)
