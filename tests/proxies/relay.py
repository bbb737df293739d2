"""A relay between a proxy and the service that records which requests share a connection."""

import re
import socket
from collections.abc import Callable, Iterator
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

from tasks_backend.testing.background import Background

CHUNK = 65536
_ID = re.compile(rb"\nx-request-id: *([\w.-]+)\r?\n", re.IGNORECASE)
_LONGEST = 100  # bytes of a line with a request id


class Connection:
    """One connection of a proxy to the service, and the ids of its requests."""

    def __init__(self, proxy: socket.socket, service: socket.socket) -> None:
        self.asked: set[str] = set()
        self.answered: set[str] = set()
        self.open = True
        self._ends = (proxy, service)

    def cut(self) -> None:
        """Close it on both sides."""
        self.open = False
        for end in self._ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class Relay(Background):
    """Forwards all data, in the received pieces.

    `alter` can change the data for the service, to inject a defect.
    """

    def __init__(self, service: int) -> None:
        self.connections: list[Connection] = []
        self.alter: Callable[[bytes], bytes] = bytes
        outer = self

        class Handler(BaseRequestHandler):
            def handle(self) -> None:
                outer._pass(self.request, service)

        class Server(ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]

    def carrying(self, request_id: str) -> list[Connection]:
        """Return the connections that carried a request with this id."""
        return [known for known in self.connections if request_id in known.asked]

    def served(self, request_id: str) -> bool:
        """Return whether the service answered a request with this id."""
        return any(request_id in known.answered for known in self.connections)

    def cut(self) -> None:
        """Close all connections, so that their remaining data reaches no client."""
        for known in self.connections:
            known.cut()

    def stop(self) -> None:
        super().stop()
        self.cut()

    def _pass(self, proxy: socket.socket, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as service:
            service.settimeout(None)
            for end in (proxy, service):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(proxy, service)
            self.connections.append(connection)
            back = Thread(
                target=self._answers, args=(service, proxy, connection.answered), daemon=True
            )
            back.start()
            for data in _read(proxy, connection.asked):
                if not _sent(service, self.alter(data)):
                    break
            connection.cut()
            back.join()

    def _answers(self, service: socket.socket, proxy: socket.socket, ids: set[str]) -> None:
        for data in _read(service, ids):
            if not _sent(proxy, data):
                break
        Connection(proxy, service).cut()


def _read(source: socket.socket, ids: set[str]) -> Iterator[bytes]:
    """Yield the received pieces, each after its request ids are recorded."""
    last = b""
    while True:
        try:
            data = source.recv(CHUNK)
        except OSError:
            return
        if not data:
            return
        last = last[-_LONGEST:] + data
        ids.update(found.decode() for found in _ID.findall(last))
        yield data


def _sent(target: socket.socket, data: bytes) -> bool:
    try:
        target.sendall(data)
    except OSError:
        return False
    return True
