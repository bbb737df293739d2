"""The accuracy of the delay proxy: an echo server behind it, one request at a time."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUnixStreamServer

from benchmarks.network import Network
from tasks_backend.testing.background import Background


class _Echo(BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Echo(Background):
    """An echo server on a Unix socket."""

    def __init__(self, path: Path) -> None:
        self._server = ThreadingUnixStreamServer(str(path), _Echo)
        self._server.daemon_threads = True


@contextlib.contextmanager
def connected(network: Network) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", network.port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def times(network: Network, count: int) -> list[float]:
    """Return the times of this number of one-byte round trips, in seconds, sorted."""
    taken = []
    with connected(network) as client:
        for _ in range(count):
            began = time.perf_counter()
            client.sendall(b"x")
            client.recv(1)
            taken.append(time.perf_counter() - began)
    return sorted(taken)
