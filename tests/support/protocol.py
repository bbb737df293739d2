"""The service's HTTP/1.1 without a socket: bytes in, the application's requests out."""

import asyncio
from collections.abc import Iterable
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from tasks_backend.serving.http_protocol import Protocol

Request = tuple[bytes, bytes, bytes]
"""Method, target and body."""


class Recorder(asyncio.Transport):
    """A transport that stores all written bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Do nothing: the test decides what is received."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def get_write_buffer_size(self) -> int:
        return 0


def as_read_by_the_service(pieces: Iterable[bytes]) -> tuple[list[Request], bytes]:
    """The requests that the application gets from these pieces, and all bytes of the answers.

    A request without its complete body does not count.
    """
    return asyncio.run(_read(pieces))


async def _read(pieces: Iterable[bytes]) -> tuple[list[Request], bytes]:
    found: list[Request] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        target = scope["raw_path"] + (
            b"?" + scope["query_string"] if scope["query_string"] else b""
        )
        found.append((scope["method"].encode(), target, body))
        await asyncio.sleep(0)
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    config = Config(app, log_config=None, access_log=False, ws="none")
    config.load()
    protocol, transport = Protocol(config, ServerState(), {}), Recorder()
    protocol.connection_made(transport)
    for piece in pieces:
        if not transport.closed:
            protocol.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(2 * len(found) + 400):
        await asyncio.sleep(0)
    transport.closed = True
    protocol.connection_lost(None)
    for _ in range(10):
        await asyncio.sleep(0)
    return found, transport.sent


def as_read_by_h11(data: bytes) -> list[Request]:
    """The requests that h11, an independent, stricter and slower parser, finds in the bytes."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    found: list[Request] = []
    try:
        while True:
            event = connection.next_event()
            if not isinstance(event, h11.Request):
                return found
            body = b""
            while isinstance(piece := connection.next_event(), h11.Data):
                body += piece.data
            if not isinstance(piece, h11.EndOfMessage):
                return found
            found.append((event.method, event.target, body))
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return found
            connection.start_next_cycle()
    except h11.ProtocolError:
        return found
