"""How the service is served: uvicorn, with its own failures in our shape too."""

import socket
import uuid
from typing import Any

import uvicorn
from starlette.exceptions import HTTPException
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tasks_backend.errors import MEDIA_TYPE, problem

MAX_HEAD = 64 * 1024  # bytes of a request's line and headers
GRACE = 15  # seconds that running requests are given when the service is told to stop


class PortTaken(Exception):
    """Another process listens at the address."""


class Protocol(HttpToolsProtocol):
    """HTTP/1.1, with an end to what is neither a complete head nor body, and where even what is
    no HTTP gets the one shape of a failure (FR-011).

    The parser itself keeps an endless header, trailer or chunk extension in memory, for anybody.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unfinished = 0
        self._in_head = True

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
        """Count anew: the head is finished."""
        self._unfinished = 0
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count anew: a piece of the body is finished."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Count anew: the request is finished."""
        self._unfinished = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words are not ours
        """Answer what could not be parsed, and hang up."""
        request_id = uuid.uuid4().hex
        body = problem(HTTPException(400), "", request_id)
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            f"content-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\n"
            "cache-control: no-store\r\n"
            "x-content-type-options: nosniff\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


HTTP: dict[str, Any] = {"http": Protocol, "lifespan": "on", "server_header": False, "ws": "none"}
"""uvicorn's options that clients notice."""


def run(factory: str, *, host: str, port: int, log_level: str, **options: Any) -> None:
    """Serve the application of a factory until told to stop. Raises PortTaken at once."""
    require_free(host, port)
    uvicorn.run(
        factory,
        factory=True,
        host=host,
        port=port,
        **HTTP,
        access_log=False,  # it would log query strings, where a mistaken client may put its token
        log_config=_logging(log_level),
        log_level=log_level,
        timeout_graceful_shutdown=GRACE,
        **options,
    )


def require_free(host: str, port: int) -> None:
    """Raise PortTaken if somebody listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(f"{host}:{port}: {error.strerror}") from error


def _logging(level: str) -> dict[str, Any]:
    """Return uvicorn's logging with ours beside it."""
    ours = {"handlers": ["default"], "level": level.upper(), "propagate": False}
    return {**LOGGING_CONFIG, "loggers": {**LOGGING_CONFIG["loggers"], "tasks_backend": ours}}
