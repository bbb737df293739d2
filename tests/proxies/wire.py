"""A client connection that can send any bytes and reads answers one by one."""

import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

PAUSE = 0.01  # seconds between two pieces, so that each is a separate segment
PATIENCE = 10.0  # seconds to wait for an expected answer
_BODYLESS = {204, 304}


class Lost(Exception):
    """No complete answer: the connection ended, or the time was over."""


@dataclass(frozen=True)
class Answer:
    """One answer. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class Wire:
    """One connection to a port on loopback. `received` has all received bytes."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        status = 0
        while status < 200 and status != 101:
            lines = self._until(b"\r\n\r\n", give_up).decode("latin-1").split("\r\n")
            words = lines[0].split(" ")
            if len(words) < 2 or not words[1].isdigit():
                raise Lost(f"no status: {lines[0]!r}")
            status = int(words[1])
        fields = (line.partition(":") for line in lines[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        body = b""
        if method != "HEAD" and status not in _BODYLESS:
            body = self._body(headers, give_up)
        return Answer(status, headers, body)

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

    def _body(self, headers: dict[str, str], give_up: float) -> bytes:
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while size := int(self._until(b"\r\n", give_up).split(b";")[0], 16):
                body += self._exactly(size, give_up)
                self._exactly(2, give_up)
            self._until(b"\r\n", give_up)
            return body
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]), give_up)
        while self._more(give_up):
            pass
        return self._exactly(len(self.received) - self._read, give_up)

    def _until(self, end: bytes, give_up: float) -> bytes:
        while (at := self.received.find(end, self._read)) < 0:
            if not self._more(give_up):
                raise Lost("the connection ended")
        return self._exactly(at + len(end) - self._read, give_up)

    def _exactly(self, size: int, give_up: float) -> bytes:
        while len(self.received) < self._read + size:
            if not self._more(give_up):
                raise Lost("the connection ended within an answer")
        taken = bytes(self.received[self._read : self._read + size])
        self._read += size
        return taken

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
