"""HTTP/1.1 as uvicorn reads it, with an end to everything and with our own failures."""

import asyncio
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tasks_backend.admission import ADMISSION, ADMITTED, PREFIX, Admission, sender_of
from tasks_backend.envelope import request_id
from tasks_backend.errors import MEDIA_TYPE, Overloaded, problem

MAX_HEAD = 64 * 1024  # bytes of a request's line and headers
DRAIN = 0.5  # seconds that an idle connection outlives the order to stop, so that its client hears
_COUNTED = PREFIX.encode()


class OneWrite:
    """A transport that sends what is written in one turn of the loop in one piece.

    uvicorn writes a head and a body, and uvloop sends each at once: two system calls and two
    packets for an answer that fits into one (decision 0013).
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send it at the end of this turn."""
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        """Send what was written, and hang up."""
        self._send()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Leave everything else to the transport."""
        return getattr(self._transport, name)

    def _send(self) -> None:
        data, self._written = b"".join(self._written), []
        if data and not self._transport.is_closing():
            self._transport.write(data)


class Protocol(HttpToolsProtocol):
    """HTTP/1.1, with an end to what is neither a complete head nor body, and where even what is
    no HTTP gets the one shape of a failure (FR-011).

    The parser itself keeps an endless header, trailer or chunk extension in memory, for anybody.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unfinished = 0
        self._in_head = True
        self._refused = False
        self._draining = False
        self._admission: Admission | None = self.app_state.get(ADMISSION)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # TCP's
        """Begin a connection."""
        super().connection_made(OneWrite(transport, self.loop))  # type: ignore[arg-type] # stands for one

    def data_received(self, data: bytes) -> None:
        """Parse what came, up to `MAX_HEAD` bytes that finish nothing."""
        if self.transport.is_closing():
            return
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Take headers until the head is finished."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, but no trailer: a late Authorization must not count (RFC 9110, 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Count anew: the head is finished. What is more than can be done ends here."""
        self._unfinished = 0
        self._in_head = False
        if self._refuses():
            return
        super().on_headers_complete()
        if self._draining:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Count anew: a piece of the body is finished."""
        self._unfinished = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Count anew: the request is finished."""
        self._unfinished = 0
        if not self._refused:
            super().on_message_complete()
        self._refused = False

    def _refuses(self) -> bool:
        """Refuse the request that begins if there is no place for it, for a fraction of what the
        application would spend on that: under a flood this is what is left for everybody else.

        A browser's is left to the application, which knows the CORS headers for it.
        """
        if (
            self._admission is None
            or not self.url.startswith(_COUNTED)
            or not (self.cycle is None or self.cycle.response_complete)
            or any(name == b"origin" for name, _ in self.headers)
        ):
            return False
        if self._admission.take(sender_of(self.headers)):
            self.scope[ADMITTED] = True  # type: ignore[literal-required] # ASGI lets servers add keys
            return False
        self._refused = True
        path = self.url.partition(b"?")[0].decode("ascii", "replace")
        keep_alive = not self._draining and self.parser.should_keep_alive()
        self._fail(Overloaded(), path, request_id(self.headers), keep_alive=keep_alive)
        if keep_alive:
            self.on_response_complete()
        return True

    def shutdown(self) -> None:
        """End the connection after its running request or, if it is idle, after its next one.

        Hanging up at once would meet requests that are on their way, and fail them.
        """
        self._draining = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(DRAIN, self._hang_up_if_idle)
        else:
            self.cycle.keep_alive = False

    def _hang_up_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words are not ours
        """Answer what could not be parsed, and hang up."""
        self._fail(HTTPException(400), "", request_id([]), keep_alive=False)

    def _fail(
        self, error: HTTPException, instance: str, request_id: str, *, keep_alive: bool
    ) -> None:
        body = problem(error, instance, request_id)
        head = [
            f"HTTP/1.1 {error.status_code} {HTTPStatus(error.status_code).phrase}",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            *(f"{name.lower()}: {value}" for name, value in (error.headers or {}).items()),
            *([] if keep_alive else ["connection: close"]),
        ]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        if not keep_alive:
            self.transport.close()
