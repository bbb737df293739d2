"""A proxy in a separate process that adds a delay to a database.

As a program, with the socket of the database as its argument, it listens on loopback, prints its
port, and answers each line of input with the number of round trips so far:

    delay SECONDS    from now on a round trip takes this much longer
    trips            no change: only the answer

Each chunk is delivered half of the delay after its arrival, in both directions, in order and as
fast as possible. A round trip is counted when the client sends after the server has sent.
"""

import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field

CHUNK = 1 << 16  # bytes; room for more would be mapped and unmapped by the kernel each time
STUCK = 10  # seconds without progress, until a connection is dropped


@dataclass(eq=False)
class Connection:
    """A client and the server, and which of them has sent last."""

    client: socket.socket
    server: socket.socket
    asked: bool = False

    def close(self) -> None:
        self.client.close()
        self.server.close()


@dataclass
class Proxy:
    """All connections, and the chunks in transit, in order of arrival."""

    listener: socket.socket
    upstream: str
    one_way: float = 0.0
    trips: int = 0
    sources: dict[int, tuple[Connection, socket.socket, socket.socket]] = field(
        default_factory=dict
    )
    late: deque[tuple[float, Connection, socket.socket, bytes]] = field(default_factory=deque)

    def serve(self) -> None:
        """Serve until standard input ends.

        `select` because its timeout is in microseconds: those of epoll, asyncio and uvloop are in
        milliseconds, as large as the delays.
        """
        stdin, listening = sys.stdin.fileno(), self.listener.fileno()
        while True:
            wait = max(0.0, self.late[0][0] - time.monotonic()) if self.late else None
            ready, _, _ = select.select([stdin, listening, *self.sources], [], [], wait)
            for number in ready:
                if number == listening:
                    self._accept()
                elif number != stdin:
                    self._receive(number)
                elif line := sys.stdin.readline():
                    self._obey(line)
                else:
                    return
            while self.late and self.late[0][0] <= time.monotonic():
                self._deliver(*self.late.popleft()[1:])

    def _obey(self, line: str) -> None:
        word, _, value = line.strip().partition(" ")
        if word == "delay":
            self.one_way = float(value) / 2
        print(self.trips, flush=True)  # noqa: T201 - the parent process waits for it

    def _accept(self) -> None:
        client, _ = self.listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.upstream)
        connection = Connection(client, server)
        for source, target in ((client, server), (server, client)):
            source.settimeout(STUCK)
            self.sources[source.fileno()] = connection, source, target

    def _receive(self, number: int) -> None:
        connection, source, target = self.sources[number]
        try:
            data = source.recv(CHUNK)
        except OSError:
            data = b""
        due = time.monotonic() + self.one_way
        from_client = source is connection.client
        self.trips += bool(data) and from_client and not connection.asked
        connection.asked = from_client
        if not data:
            del self.sources[number]
        self.late.append((due, connection, target, data))

    def _deliver(self, connection: Connection, target: socket.socket, data: bytes) -> None:
        """Forward a chunk or an end; the end of one side ends the connection."""
        try:
            if data:
                target.sendall(data)
                return
        except OSError:
            pass  # it has disconnected meanwhile
        for end in (connection.client, connection.server):
            self.sources.pop(end.fileno(), None)
        connection.close()


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening_socket:
        print(listening_socket.getsockname()[1], flush=True)  # noqa: T201 - see above
        Proxy(listening_socket, sys.argv[1]).serve()
