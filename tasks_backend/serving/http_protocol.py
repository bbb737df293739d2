"""HTTP/1.1 as uvicorn and httptools read it: one request at a time, and no upgrade.

httptools takes an offer to upgrade for accepted: it skips the body, whose bytes would then be read
as the next request. Here the offer is ignored (RFC 9110, 7.8; decision 0017).
"""

import re
from http import HTTPStatus
from typing import Any

import httptools
from starlette.exceptions import HTTPException

from tasks_backend.errors import MEDIA_TYPE, Overloaded, problem
from tasks_backend.http.caller import bearer_credential
from tasks_backend.http.limiter import LIMITER, ConcurrencyLimiter
from tasks_backend.http.problem_details import request_id
from tasks_backend.serving.connection_bounds import BoundedConnection

MAX_HEAD = 64 * 1024  # bytes of a request's line and headers
MAX_HEADERS = 100

_COUNTED = re.compile(rb"/api/[A-Za-z0-9/_-]*")
"""What is refused for lack of a place. Probes and documents are always answered."""
_LEFT_TO_THE_GATE = {b"content-length", b"transfer-encoding", b"expect", b"origin"}
"""With a body, an answer may be due before it came; a browser's needs its CORS headers."""

_CODING = b"transfer-encoding"
_END_OF_HEAD = b"\r\n\r\n"
_PIECE = 1024  # bytes of a body that are parsed before looking whether the next request has begun


class Protocol(BoundedConnection):
    """One connection. What cannot be parsed is answered in the shape of every failure (FR-011)."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limiter: ConcurrencyLimiter | None = self.app_state.get(LIMITER)
        self._unparsed = b""
        self._unfinished = 0  # bytes that have finished neither a head nor a piece of a body
        self._in_head = True
        self._rereading = False

    def data_received(self, data: bytes) -> None:
        """Read what came. While a request waits behind another, the rest is kept unparsed."""
        self.note_data()
        self._unparsed = self._unparsed + data if self._unparsed else data
        self._parse()
        if self._unparsed:
            self.flow.pause_reading()

    def on_message_begin(self) -> None:
        """Begin a head."""
        if not self._rereading:
            self._in_head = True
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        if not self._rereading:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, but no trailer: a late Authorization must not count (RFC 9110, 6.5.1)."""
        if self._rereading or not self._in_head:
            return
        if len(self.headers) == MAX_HEADERS:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request. Where an upgrade is offered, the head is read again first."""
        if self.parser.should_upgrade():
            return
        if self.parser.get_http_version() not in {"1.1", "1.0"}:
            raise ValueError("no HTTP/1")
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("two hosts")
        codings = [value.strip().lower() for name, value in self.headers if name == _CODING]
        if codings not in ([], [b"chunked"]):
            raise ValueError("a coding that readers differ on, or that is not known here")
        self._rereading = self._in_head = False
        self._unfinished = 0
        if self._has_no_place():
            self._refuse()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish the request."""
        if not self.parser.should_upgrade():
            self._in_head = True
            self._unfinished = 0
            if self.cycle is not None:  # else all were refused so far
                super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what came in the meantime."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._unparsed:
            self.note_data()
        self._parse()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words are not ours
        """Answer what could not be parsed, and close. An answer that is due comes before that."""
        self._unparsed = b""
        if self.in_request and (self.cycle.response_started or not self.cycle.more_body):
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        self._write_problem(HTTPException(400), "", request_id([]), closing=True)

    def _has_no_place(self) -> bool:
        """Tell whether to refuse the request here. The gate refuses it too, for four times as much
        (decision 0017): this takes no place, and only decides for a request that ends with its head.
        """
        limiter = self._limiter
        if limiter is None or limiter.has_room or self.in_request or self.flow.write_paused:
            return False
        if self.parser.get_method() == b"HEAD" or not _COUNTED.fullmatch(self._path):
            return False
        if any(name in _LEFT_TO_THE_GATE for name, _ in self.headers):
            return False
        if limiter.has_place(bearer_credential(self.headers) or ""):
            return False
        limiter.count_refusal()
        return True

    def _refuse(self) -> None:
        """Answer Overloaded (FR-012), and go on with the connection."""
        self.head_since = None
        keeping = (
            not self._stopping
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
        )
        path = self.root_path + self._path.decode("ascii")
        self._write_problem(Overloaded(), path, request_id(self.headers), closing=not keeping)
        super().on_response_complete()

    @property
    def _path(self) -> bytes:
        return self.url.partition(b"?")[0]

    def _write_problem(
        self, error: HTTPException, path: str, identity: str, *, closing: bool
    ) -> None:
        """Write a whole failure, in the shape of every failure (FR-011)."""
        body = problem(error, path, identity)
        status = HTTPStatus(error.status_code)
        headers = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            "x-request-id": identity,
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            **(error.headers or {}),
            **({"connection": "close"} if closing else {}),
        }
        standard = b"".join(b"%b: %b\r\n" % each for each in self.server_state.default_headers)
        ours = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        line = f"HTTP/1.1 {status:d} {status.phrase}\r\n"
        self.transport.write(b"%b%b%b\r\n%b" % (line.encode(), standard, ours.encode(), body))
        if closing:
            self.transport.close()

    def _parse(self) -> None:
        """Parse what was received, until a request waits behind another.

        A head is parsed by itself, so that a connection holds one request that waits, or a few.
        """
        data, position = self._unparsed, 0
        self._unparsed = b""
        while position < len(data) and not self.transport.is_closing():
            if self.pipeline:
                self._unparsed = data[position:]
                return
            end = position + _PIECE
            if self._in_head:
                found = data.find(_END_OF_HEAD, position)
                end = len(data) if found < 0 else found + len(_END_OF_HEAD)
            piece = data[position:end]
            self._unfinished += len(piece)
            if self._unfinished > MAX_HEAD or not self._feed(piece):
                self.send_400_response("")
                return
            position = end
        if self._unfinished and not self.in_request:
            self.note_data()

    def _feed(self, piece: bytes) -> bool:
        """Give the parser a piece; return whether it is HTTP."""
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as offer:
            return self._read_head_again() and self._feed(piece[offer.args[0] :])
        except httptools.HttpParserError:
            return False
        return True

    def _read_head_again(self) -> bool:
        """Give the parser the same head without the offer; return whether it is HTTP.

        Length, chunks and connection options are then read as those of any other request.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":  # an offer by its name
            return False
        lines = [b"%b / HTTP/%b" % (method, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self._rereading = True
        self.parser = _new_parser(self)  # where the connection is to close, the old one is done
        try:
            self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))
        except httptools.HttpParserError:
            return False
        return True


def _new_parser(protocol: object) -> httptools.HttpRequestParser:
    """Return a parser that ignores what comes after a request that closes the connection."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
