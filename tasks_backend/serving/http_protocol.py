"""HTTP/1.1 with uvicorn and httptools: one request at a time, and no upgrade.

httptools treats an offered upgrade as accepted: it skips the body, whose bytes would then be read
as the next request. Here the offer is ignored (RFC 9110, 7.8; decision 0017).
"""

import asyncio
import re
from http import HTTPStatus
from typing import Any

import httptools
from starlette.exceptions import HTTPException
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tasks_backend.compatibility import overrides, require_attributes
from tasks_backend.errors import MEDIA_TYPE, Overloaded
from tasks_backend.http.caller import bearer_credential
from tasks_backend.http.limiter import OVERLOAD_POLICY, OverloadPolicy, credential_sender
from tasks_backend.http.problem import problem
from tasks_backend.http.problem_details import STANDARD_HEADERS, request_id
from tasks_backend.serving.connection_bounds import BoundedConnection

MAX_HEAD = 64 * 1024  # bytes of a request's line and headers
MAX_HEADERS = 100

_PLAIN_PATH = re.compile(rb"[A-Za-z0-9/_-]*")
"""Paths that may be refused here, and so are part of the answer."""
_LEFT_TO_THE_GATE = {b"content-length", b"transfer-encoding", b"expect", b"origin"}
"""With these headers only the gate refuses: a body may follow, or a browser needs CORS headers."""

_TRANSFER_ENCODING = b"transfer-encoding"
_END_OF_HEAD = b"\r\n\r\n"
_BODY_PIECE = 1024  # bytes of a body to parse before checking whether the next request has begun


require_attributes("uvicorn", FlowControl, "read_paused", "write_paused")
require_attributes("uvicorn", HttpToolsProtocol, "app_state", "headers", "parser", "scope", "url")


@overrides(
    "uvicorn",
    HttpToolsProtocol,
    "data_received",
    "on_body",
    "on_header",
    "on_message_begin",
    "on_message_complete",
    "on_url",
    "send_400_response",
)
class Protocol(BoundedConnection):
    """One connection. If a request cannot be parsed, the answer is a problem document (FR-011)."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._overload: OverloadPolicy | None = self.app_state.get(OVERLOAD_POLICY)
        self._unparsed = b""
        self._head_is_alone = False  # it came in one piece, and nothing follows it
        self._unfinished = 0  # bytes since the last complete head or piece of a body
        self._in_head = True
        self._reparsing = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # TCP's
        """Start the connection, with a flow control that knows what is unparsed."""
        super().connection_made(transport)
        self.flow = _InputFlow(transport, self)

    def data_received(self, data: bytes) -> None:
        """Parse the data. While a request waits behind another, the rest is kept unparsed."""
        self._unparsed = self._unparsed + data if self._unparsed else data
        self._parse()
        if self._unparsed:
            self.flow.pause_reading()

    def on_message_begin(self) -> None:
        """Begin a head."""
        if not self._reparsing:
            self._in_head = True
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Add a piece of the request target."""
        if not self._reparsing:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header, but no trailer: a late Authorization must not count (RFC 9110, 6.5.1)."""
        if self._reparsing or not self._in_head:
            return
        if len(self.headers) == MAX_HEADERS:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request. If it offers an upgrade, the head is parsed again first."""
        if self.parser.should_upgrade():
            return
        version = self.parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise ValueError("no HTTP/1")
        hosts, codings = 0, []
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == _TRANSFER_ENCODING:
                codings.append(value.strip().lower())
        if hosts > 1 or (hosts == 0 and version == "1.1"):  # RFC 9112, 3.2
            raise ValueError("no host, or two")
        if codings not in ([], [b"chunked"]):
            raise ValueError("unknown or ambiguous transfer coding")
        self._reparsing = self._in_head = False
        self._unfinished = 0
        if self._overload is not None and self._is_to_be_refused(self._overload):
            self._overload.limiter.count_refusal()
            self._refuse()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish the request."""
        if not self.parser.should_upgrade():
            self._in_head = True
            self._unfinished = 0
            if self.cycle is not None:  # None if all were refused so far
                super().on_message_complete()

    def on_response_complete(self) -> None:
        """Parse the data that arrived in the meantime."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self._parse()
        if not self.pipeline:
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's text is not sent
        """Answer a request that cannot be parsed, and close. A running request is answered first."""
        self._unparsed = b""
        running = self._running
        if running is not None and (
            self.pipeline or running.response_started or not running.more_body
        ):
            self.pipeline.clear()
            running.keep_alive = False
            self.flow.pause_reading()
            return
        self._write_problem(HTTPException(400), "", request_id(self.headers or []), closing=True)

    def _is_to_be_refused(self, overload: OverloadPolicy) -> bool:
        """Return whether to refuse the request here, which costs half of a refusal in the gate.

        Acquires no place. Only a request without a body that arrived alone is refused here. So there is
        at most one refusal each time that data arrives, and nothing is parsed after it (decision 0017).
        """
        if overload.limiter.has_room or not self._head_is_alone:
            return False
        if self.in_request or self.flow.write_paused:
            return False
        path = self._path
        if not (_PLAIN_PATH.fullmatch(path) and (path + b"/").startswith(overload.prefixes)):
            return False
        if any(name in _LEFT_TO_THE_GATE for name, _ in self.headers):
            return False
        return not overload.limiter.has_place(credential_sender(bearer_credential(self.headers)))

    def _refuse(self) -> None:
        """Answer Overloaded (EDGE-9), and keep the connection if the client does."""
        self.head_since = None
        keep_alive = (
            not self._stopping
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
        )
        path = self.root_path + self._path.decode("ascii")
        self._write_problem(Overloaded(), path, request_id(self.headers), closing=not keep_alive)
        super().on_response_complete()

    @property
    def has_unparsed(self) -> bool:
        """Whether received data waits behind a running request."""
        return bool(self._unparsed)

    @property
    def _path(self) -> bytes:
        return self.url.partition(b"?")[0]

    def _write_problem(
        self, error: HTTPException, path: str, identity: str, *, closing: bool
    ) -> None:
        """Write a complete problem response (FR-011)."""
        body = problem(error, path, identity).body
        status = HTTPStatus(error.status_code)
        headers = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            "x-request-id": identity,
            **STANDARD_HEADERS,
            **(error.headers or {}),
            **({"connection": "close"} if closing else {}),
        }
        standard = b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)
        own = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        line = f"HTTP/1.1 {status:d} {status.phrase}\r\n"
        if self.parser.get_method() == b"HEAD":  # RFC 9110, 9.3.2: the headers of a body
            body = b""
        self.transport.write(b"%b%b%b\r\n%b" % (line.encode(), standard, own.encode(), body))
        if closing:
            self.transport.close()

    def _parse(self) -> None:
        """Parse the received data until a request waits behind another.

        A head is parsed by itself, so that few requests of a connection wait.
        """
        data, position = self._unparsed, 0
        self._unparsed = b""
        while position < len(data) and not self.transport.is_closing():
            if self.pipeline:
                self._unparsed = data[position:]
                return
            end = position + _BODY_PIECE
            self._head_is_alone = False
            if self._in_head:
                head_end = data.find(_END_OF_HEAD, position)
                end = len(data) if head_end < 0 else head_end + len(_END_OF_HEAD)
                self._head_is_alone = not self._unfinished and head_end >= 0 and end == len(data)
            piece = data[position:end]
            self._unfinished += len(piece)
            if self._unfinished > MAX_HEAD or not self._feed(piece):
                self.send_400_response("")
                return
            position = end
        if self._unfinished and not self.in_request:
            self.record_data()

    def _feed(self, piece: bytes) -> bool:
        """Feed the parser a piece; return whether it is HTTP."""
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as offer:
            return self._reparse_head() and self._feed(piece[offer.args[0] :])
        except httptools.HttpParserError:
            return False
        return True

    def _reparse_head(self) -> bool:
        """Parse the head again without the offer; return whether it is HTTP.

        Length, chunks and connection options are then parsed as in any other request.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":  # an upgrade by definition
            return False
        lines = [b"%b / HTTP/%b" % (method, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self._reparsing = True
        self.parser = _new_parser(self)  # the old one accepts no data after `Connection: close`
        try:
            self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))
        except httptools.HttpParserError:
            return False
        return True


@overrides("uvicorn", FlowControl, "resume_reading")
class _InputFlow(FlowControl):
    """uvicorn's flow control, which does not read on while received data is unparsed."""

    def __init__(self, transport: asyncio.Transport, protocol: Protocol) -> None:
        super().__init__(transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        """Resume, unless data is waiting: uvicorn resumes for each body and after each response."""
        if not self._protocol.has_unparsed:
            super().resume_reading()


def _new_parser(protocol: object) -> httptools.HttpRequestParser:
    """Return a parser that ignores data after a request that closes the connection."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
