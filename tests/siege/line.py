"""A TCP connection on which a client can do what no HTTP client does."""

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field

from support.answers import first_answer

PATIENCE = 15.0  # seconds to wait for an answer
LOOK = 0.5  # seconds between two checks whether the service has closed a connection
ESTABLISHED = 1  # TCP_INFO's first byte (linux/tcp.h)
FEW = 4096  # bytes of receive buffer of a client that does not read
LITTLE = 65_536  # bytes of its send buffer: sent bytes are then received bytes
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: close is a reset


class Gone(Exception):
    """The service has closed the connection, or does not answer."""


@dataclass
class Cost:
    """The effort of one kind of attack, and its results."""

    attempts: int = 0
    sockets: int = 0
    requests: int = 0
    sent: int = 0
    """Bytes."""
    answers: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    """Connections that the service closed."""
    longest: float = 0.0
    """The longest duration of a connection, in seconds."""
    breaches: Counter[str] = field(default_factory=Counter)
    """Violations by the service."""


class Line:
    """One connection. It is used for one attempt and then closed."""

    def __init__(self, port: int, cost: Cost, *, reads: bool) -> None:
        self.sent = 0
        self._port = port
        self._cost = cost
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not reads:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FEW)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LITTLE)
        self._received = b""
        self._opened_at: float | None = None

    async def open(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        self._opened_at = time.monotonic()
        self._cost.sockets += 1

    async def send(self, data: bytes, requests: int = 0) -> None:
        """Send bytes that start this number of requests. Waits while the service does not read."""
        self._cost.requests += requests
        await self._loop.sock_sendall(self._socket, data)
        self.sent += len(data)
        self._cost.sent += len(data)

    async def answer(self) -> int:
        """Read one whole answer and return its status. Raises Gone if there is none."""
        try:
            async with asyncio.timeout(PATIENCE):
                while (found := first_answer(self._received)) is None:
                    await self._receive()
        except TimeoutError:
            self._cost.answers["none"] += 1
            raise Gone from None
        except (Gone, OSError):
            self._cost.answers["hung up"] += 1
            raise Gone from None
        answer, end = found
        self._received = self._received[end:]
        self._cost.answers[str(answer.status)] += 1
        return answer.status

    async def until(self, *ids: str) -> bytes:
        """Read up to an answer to a request with one of these ids, or to the end of the connection;
        return all bytes read, in lower case.
        """
        wanted = [f"x-request-id: {request_id}".encode() for request_id in ids]
        with contextlib.suppress(Gone, OSError):
            async with asyncio.timeout(PATIENCE):
                while not any(header in self._received.lower() for header in wanted):
                    await self._receive()
        for status in re.findall(rb"HTTP/1.1 ([0-9]{3}) ", self._received):
            self._cost.answers[status.decode()] += 1
        return self._received.lower()

    async def hang(self) -> None:
        """Do nothing until the service closes the connection."""
        while self._is_open():  # noqa: ASYNC110 - polled, because nothing may be read
            await asyncio.sleep(LOOK)

    async def hang_unless_refused(self) -> None:
        """Do the same, but return after a refusal: it is small, so the kernel took all of it."""
        while self._is_open() and not self._peek().startswith(b"HTTP/1.1 5"):  # noqa: ASYNC110 - as above
            await asyncio.sleep(LOOK)

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def reset_on_close(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)

    def breach(self, what: str) -> None:
        """Record a violation by the service."""
        self._cost.breaches[what] += 1

    def close(self) -> None:
        if self._opened_at is not None:
            self._cost.ended += not self._is_open()
            self._cost.longest = max(self._cost.longest, time.monotonic() - self._opened_at)
        self._socket.close()

    def _peek(self) -> bytes:
        with contextlib.suppress(BlockingIOError, OSError):
            return self._socket.recv(16, socket.MSG_PEEK)
        return b""

    def _is_open(self) -> bool:
        state: bytes = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return state[0] == ESTABLISHED

    async def _receive(self) -> None:
        data = await self._loop.sock_recv(self._socket, 65536)
        if not data:
            raise Gone
        self._received += data


def request(method: str, path: str, *headers: str, token: str = "") -> bytes:
    """Return the head of a request."""
    credentials = [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: x", *credentials, *headers, "", ""]
    ).encode()
