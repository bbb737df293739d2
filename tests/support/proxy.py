"""A proxy before the embedded PostgreSQL that counts messages and can simulate a bad network."""

import contextlib
import socket
import struct
import time
from collections import Counter
from threading import Event, Lock, Thread

from psycopg2.extensions import make_dsn, parse_dsn

from tasks_backend.testing.background import Background

CHUNK = 65536


class PostgresProxy(Background):
    """Listens on loopback. Counts each client message by type, except the start-up."""

    def __init__(self, url: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        target = parse_dsn(url)
        self._upstream = f"{target['host']}/.s.PGSQL.{target.get('port', '5432')}"
        self._host = host
        self._listener = socket.create_server((host, port), backlog=64)
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        self._flowing = Event()
        self._flowing.set()
        self._stopping = Event()
        self._lock = Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._refusing = False
        self.messages: Counter[str] = Counter()
        self.connections = 0
        self.url = make_dsn(url, host=host, port=self.port, sslmode="disable")

    def refuse(self) -> None:
        """Reset all connections and accept none."""
        self._refusing = True
        self._listener.close()
        self.cut()

    def accept(self) -> None:
        """Accept connections again."""
        give_up = time.monotonic() + 20
        while True:
            try:
                self._listener = socket.create_server((self._host, self.port), backlog=64)
                break
            except OSError:  # the thread has not yet seen that the last listener is closed
                assert time.monotonic() < give_up, "the port is not free"
                time.sleep(0.01)
        self._listener.settimeout(0.1)
        self._refusing = False

    def freeze(self) -> None:
        """Forward nothing; keep all connections open."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Reset all connections."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def wait_until_closed(self) -> None:
        """Return when no connection to a client or to the server is left."""
        give_up = time.monotonic() + 20
        while self._pairs:
            assert time.monotonic() < give_up, "connections stay open"
            time.sleep(0.005)

    def stop(self) -> None:
        self._stopping.set()
        self._flowing.set()
        self.refuse()

    def serve(self) -> None:
        while not self._stopping.is_set():
            if self._refusing:
                self._stopping.wait(0.01)
                continue
            try:
                client, _ = self._listener.accept()
                client.settimeout(None)
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._upstream)
            except OSError:
                continue
            self.connections += 1
            with self._lock:
                self._pairs.append((client, server))
            Thread(
                target=self._pump, args=(client, server), kwargs={"counted": True}, daemon=True
            ).start()
            Thread(
                target=self._pump, args=(server, client), kwargs={"counted": False}, daemon=True
            ).start()

    def _pump(self, source: socket.socket, target: socket.socket, *, counted: bool) -> None:
        pending, started = b"", False
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self._flowing.wait()
                if counted:
                    pending, started = self._count(pending + data, started=started)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self._lock:
            self._pairs = [pair for pair in self._pairs if source not in pair]

    def _count(self, data: bytes, *, started: bool) -> tuple[bytes, bool]:
        while True:
            at = 1 if started else 0  # the start-up message has no type
            if len(data) < at + 4:
                return data, started
            (length,) = struct.unpack("!I", data[at : at + 4])
            if len(data) < at + length:
                return data, started
            if started:
                self.messages[chr(data[0])] += 1
            data, started = data[at + length :], True
