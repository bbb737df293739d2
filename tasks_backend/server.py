"""How the service is served: uvicorn, with its own failures in our shape too."""

import socket
import uuid
from typing import Any

import uvicorn
from starlette.exceptions import HTTPException
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tasks_backend.errors import MEDIA_TYPE, problem

GRACE = 15  # seconds that running requests are given when the service is told to stop


class PortTaken(Exception):
    """Another process listens at the address."""


class Protocol(HttpToolsProtocol):
    """HTTP/1.1, where even what is no HTTP gets the one shape of a failure (FR-011)."""

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
