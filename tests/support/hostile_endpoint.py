"""An endpoint on loopback that can break any rule of HTTP: it sends arbitrary bytes at any time."""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Event

from tasks_backend.testing.background import Background

PATIENCE = 5  # seconds until an endpoint drops a client that neither reads nor closes


@dataclass(frozen=True)
class Visit:
    """One connection. It is always closed afterwards."""

    connection: socket.socket
    over: Event

    def path(self) -> str:
        """Read the request and return its target."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.connection.recv(4096)
            if not data:
                raise ConnectionError("the client left")
            head += data
        return head.split(b" ")[1].decode()

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def send_for_ever(self, data: bytes, pause: float = 0) -> None:
        """Repeat this until the client disconnects."""
        while not self.over.wait(pause):
            self.send(data)

    def hang(self) -> None:
        """Send nothing until the client disconnects."""
        with suppress(ConnectionError):
            self.connection.recv(1)

    def reset(self) -> None:
        """Reset the TCP connection."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


Behaviour = Callable[[Visit], None]
OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class HostileEndpoint(Background):
    """Counts its connections; `behaviour` may be changed at any time."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.connections = 0
        self._over = Event()
        outer = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                self.request.settimeout(PATIENCE)
                with suppress(OSError):
                    outer.behaviour(Visit(self.request, outer._over))

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/api/auth/jwks"

    def stop(self) -> None:
        """Stop, once every connection is closed."""
        self._over.set()
        super().stop()


def answer(
    body: bytes, *headers: str, status: str = "200 OK", length: int | None = None
) -> Behaviour:
    """Answer with the right Content-Length, or with the given one."""
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    head.append(f"Content-Length: {len(body) if length is None else length}")
    return raw("\r\n".join(head).encode() + b"\r\n\r\n" + body)


def raw(*pieces: bytes, pause: float = 0) -> Behaviour:
    """Send exactly these bytes and close."""

    def behave(visit: Visit) -> None:
        visit.path()
        for piece in pieces:
            visit.send(piece)
            visit.over.wait(pause)

    return behave


def endless(start: bytes, repeated: bytes, pause: float = 0) -> Behaviour:
    """Send a first part, then repeat without an end."""

    def behave(visit: Visit) -> None:
        visit.path()
        visit.send(start)
        visit.send_for_ever(repeated, pause)

    return behave


def silent(start: bytes = b"") -> Behaviour:
    """Send a first part, then nothing more."""

    def behave(visit: Visit) -> None:
        visit.path()
        visit.send(start)
        visit.hang()

    return behave


def break_off(start: bytes) -> Behaviour:
    """Send a first part, then reset the connection."""

    def behave(visit: Visit) -> None:
        visit.path()
        visit.send(start)
        visit.reset()

    return behave


def redirect(status: str, location: str, body: bytes) -> Behaviour:
    """Redirect the client to `/elsewhere` on this server, which has the body."""

    def behave(visit: Visit) -> None:
        path = visit.path()
        if path == "/elsewhere":
            visit.send(PLAIN + body)
            return
        port = visit.connection.getsockname()[1]
        target = location.format(port=port, path=path)
        visit.send(f"HTTP/1.1 {status}\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())

    return behave


def hang_up(visit: Visit) -> None:
    """Accept the connection and close it."""


def never_read(visit: Visit) -> None:
    """Accept the connection and do nothing."""
    visit.over.wait(PATIENCE)
