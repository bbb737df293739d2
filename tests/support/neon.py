"""A proxy that routes by SNI and starts a suspended compute, as Neon's does.

It passes TLS through, so the compute's own certificate and channel binding reach the client.
"""

import contextlib
import socket
import struct
from collections.abc import Callable
from threading import Event, Lock, Thread

from tasks_backend.testing.background import Background

CHUNK = 65536
SSL_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL, "SSLRequest"
UNKNOWN_NAME = bytes([21, 3, 3, 0, 2, 2, 112])  # TLS alert: fatal, unrecognized_name (RFC 6066)
SERVER_NAME = 0  # TLS extension, and the type of a host name in it (RFC 6066, 3)


class NeonProxy(Background):
    """Listens on loopback. `wake` starts the compute, and may take long.

    A connection to a suspended compute waits until it is woken; `suspend` ends the connections.
    """

    def __init__(self, endpoint: str, upstream: int, start: Callable[[], None]) -> None:
        self._endpoint = endpoint
        self._upstream = upstream
        self._start = start
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._starting = Lock()
        self._may_start = Event()
        self._may_start.set()
        self.is_running = True
        self.waiting: set[socket.socket] = set()

    def suspend(self, stop: Callable[[], None]) -> None:
        """Stop the compute; no connection wakes it before `allow_start`."""
        self._may_start.clear()
        self.is_running = False
        stop()

    def allow_start(self) -> None:
        self._may_start.set()

    def cut(self) -> None:
        """Reset the connections that wait for the compute."""
        for client in list(self.waiting):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._connected, args=(client,), daemon=True).start()

    def stop(self) -> None:
        self._may_start.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _connected(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            client.settimeout(60)
            if _exactly(client, len(SSL_REQUEST)) != SSL_REQUEST:
                return  # without TLS there is no name
            client.sendall(b"S")
            head = _exactly(client, 5)
            hello = _exactly(client, int.from_bytes(head[3:]))
            if server_name(hello).split(".")[0].removesuffix("-pooler") != self._endpoint:
                client.sendall(UNKNOWN_NAME)
                return
            self._wake(client)
            with socket.create_connection(("127.0.0.1", self._upstream)) as server:
                server.sendall(SSL_REQUEST)
                if _exactly(server, 1) == b"S":
                    server.sendall(head + hello)
                    back = Thread(target=_pump, args=(server, client), daemon=True)
                    back.start()
                    _pump(client, server)
                    back.join()

    def _wake(self, client: socket.socket) -> None:
        if self.is_running:
            return
        self.waiting.add(client)
        try:
            self._may_start.wait(60)
            with self._starting:
                if not self.is_running:
                    self._start()
                    self.is_running = True
        finally:
            self.waiting.discard(client)


def server_name(hello: bytes) -> str:
    """Return the host name that a ClientHello asks for, empty without one (RFC 8446, 4.1.2)."""
    at = 4 + 2 + 32  # type and length, version, random
    at += 1 + hello[at]  # session id
    at += 2 + int.from_bytes(hello[at : at + 2])  # cipher suites
    at += 1 + hello[at]  # compression methods
    end = at + 2 + int.from_bytes(hello[at : at + 2])
    at += 2
    while at < end:
        kind, length = struct.unpack("!HH", hello[at : at + 4])
        if kind == SERVER_NAME:
            return hello[at + 9 : at + 4 + length].decode()
        at += 4 + length
    return ""


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = source.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
