"""A TCP proxy in a separate process that simulates a bad network.

As a program it listens on loopback, prints its port, and reads one mode per line:

    flow      forward everything
    hold      forward nothing until the next flow: packets are late
    swallow   drop all data silently and permanently: a firewall has forgotten the connections
    mute      forward requests and drop answers; the next mode resets all connections
    delay     forward everything, later
    refuse    reset all connections and stop listening
"""

import asyncio
import sys
from collections import deque
from typing import cast

DELAY = 0.15  # seconds each way


class Network:
    """The state of the network, shared by all connections."""

    def __init__(self, upstream: str) -> None:
        self.mode = "flow"
        self.upstream = upstream
        self.ends = set[End]()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def turn(self, mode: str) -> None:
        if mode == "refuse" or self.mode == "mute":
            for end in set(self.ends):
                end.transport.abort()
        self.mode = mode
        if mode == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        elif mode != "refuse" and self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: End(self, None), "127.0.0.1", self._port, backlog=512
            )
            self._port = self._server.sockets[0].getsockname()[1]
        for end in set(self.ends):
            end.network_changed()

    @property
    def port(self) -> int:
        return self._port


class End(asyncio.Protocol):
    """One end of a connection: the client's, or with a peer the server's."""

    transport: asyncio.Transport

    def __init__(self, network: Network, peer: "End | None") -> None:
        self._network = network
        self._peer = peer
        self._is_server = peer is not None
        self._pending = deque[bytes]()  # not yet delivered to the peer
        self._dead = False  # the network has forgotten it
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._network.ends.add(self)
        self.network_changed()
        if self._peer is not None:
            self._peer.joined(self)
        elif not self._dead:
            self._opening = asyncio.ensure_future(self._open())

    def network_changed(self) -> None:
        if self._network.mode == "swallow":
            self._dead = True
            self._pending.clear()
        elif self._network.mode != "hold":
            self.deliver()
        if self._ended:
            self._finish()

    def joined(self, peer: "End") -> None:
        self._peer = peer
        self.network_changed()

    def data_received(self, data: bytes) -> None:
        if self._dead or (self._network.mode == "mute" and self._is_server):
            return
        self._pending.append(data)
        if self._network.mode == "delay":
            asyncio.get_running_loop().call_later(DELAY, self.deliver, 1)
        elif self._network.mode != "hold":
            self.deliver()

    def deliver(self, most: int | None = None) -> None:
        if self._peer is None or self._network.mode in {"hold", "swallow"}:
            return
        for _ in range(len(self._pending) if most is None else min(most, len(self._pending))):
            data = self._pending.popleft()
            if not self._peer.transport.is_closing():
                self._peer.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = True
        if self._network.mode == "delay":
            self.deliver()
        self._finish()

    def _finish(self) -> None:
        """Forward the end after the data before it: late packets are not lost packets.
        The end of a forgotten connection is forwarded too, later, as keepalives would do.
        """
        if self._pending and self._network.mode == "hold":
            return
        self._network.ends.discard(self)
        if self._peer is not None:
            self._peer.transport.close()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self._network.upstream.startswith("/"):
                await loop.create_unix_connection(
                    lambda: End(self._network, self), self._network.upstream
                )
            else:
                host, _, port = self._network.upstream.rpartition(":")
                await loop.create_connection(lambda: End(self._network, self), host, int(port))
        except OSError:
            self.transport.abort()


async def main(upstream: str) -> None:
    network = Network(upstream)
    await network.turn("flow")
    loop = asyncio.get_running_loop()
    print(network.port, flush=True)  # noqa: T201 - the parent process waits for it
    words = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    while word := (await words.readline()).decode().strip():
        await network.turn(word)
        print(word, flush=True)  # noqa: T201 - done


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1]))
