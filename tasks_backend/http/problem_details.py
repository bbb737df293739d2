"""The outermost layer: what every response carries, and the one shape of those that fail.

Two ASGI middlewares. `ProblemDetailsMiddleware` is outside CORS, so that even a refused preflight has the shape;
`UnhandledErrorMiddleware` is inside it, so that even a crash has CORS headers and a browser may read it.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks_backend.errors import MEDIA_TYPE, InternalError, code_of, problem
from tasks_backend.http import access_log, request_record
from tasks_backend.http.caller import get_caller
from tasks_backend.http.receive import BODY_READ, arrived, discard, has_body
from tasks_backend.http.request_record import RequestRecord

logger = logging.getLogger("tasks_backend")

_REQUEST_ID = "tasks_backend.request_id"
_ACCEPTED_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_DROPPED_WITH_A_BODY = ("content-length", "content-type", "content-encoding", "etag")


class ProblemDetailsMiddleware:
    """Give every response its standard headers, every failure the problem shape (FR-011), and
    every request its line in the log.

    A response that comes before the request's body closes the connection (RFC 9112, 9.6): what
    is still to come must not be read as the next request, nor for ever.
    """

    def __init__(self, app: ASGIApp, pseudonym: Callable[[str], str]) -> None:
        self.app = app
        self._pseudonym = pseudonym

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; the request id is the client's if it is a harmless one."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope[_REQUEST_ID] = identity = request_id(scope["headers"])
        began = time.perf_counter()
        record = RequestRecord(identity, scope["method"])
        request_record.set_record(record)
        replacement: bytes | None = None
        closing = ended = False

        async def enveloped(message: Message) -> None:
            nonlocal replacement, closing, ended
            if message["type"] == "http.response.start":
                record.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = identity
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("X-Content-Type-Options", "nosniff")
                if message["status"] >= 400 and headers.get("content-type") != MEDIA_TYPE:  # noqa: PLR2004 - RFC 9110
                    replacement = _replace(scope, message["status"], headers)
                if BODY_READ not in scope and has_body(scope) and not await arrived(scope, receive):
                    closing = scope["http_version"].startswith("1")  # HTTP/2 has streams for that
                    if closing:
                        headers["Connection"] = "close"
            elif ended:
                return
            elif replacement is not None:
                message = {"type": "http.response.body", "body": replacement}
            ended = "body" in message and not message.get("more_body", False)
            if closing and ended:
                await send({**message, "more_body": True})
                await discard(receive)
                message = {"type": "http.response.body", "body": b""}
            await send(message)
            if message.get("more_body", False):
                await asyncio.sleep(0)  # a body without an end must let others run

        try:
            await self.app(scope, receive, enveloped)
        finally:
            if record.route is None:  # no resource of the API: the documents, or nothing
                record.route = getattr(scope.get("route"), "path", None)
            caller = get_caller(scope)
            access_log.write(
                record,
                duration=time.perf_counter() - began,
                user=self._pseudonym(caller.user_id) if caller else None,
            )


class UnhandledErrorMiddleware:
    """Turn what nobody foresaw into a 500 that says nothing, and a log entry that says it all."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection. After the first byte of a response, a crash cuts it off."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except ClientDisconnect:
            pass  # nobody is left to be answered; the request's line has no status
        except Exception:
            if started or scope["type"] != "http":
                raise
            logger.exception("unforeseen failure (request %s)", scope.get(_REQUEST_ID))
            await failed(scope, InternalError())(scope, receive, send)


async def answer(request: Request, error: Exception) -> Response:
    """Answer a raised HTTPException, ours or the framework's."""
    if not isinstance(error, HTTPException):  # registered for nothing else
        raise error
    return failed(request.scope, error)


def failed(scope: Scope, error: HTTPException) -> Response:
    """Return the response of a failure."""
    if (record := request_record.get_record()) is not None:
        record.code = code_of(error)
    path = scope.get("raw_path") or scope["path"].encode()
    body = problem(error, path.decode("ascii", "replace"), scope.get(_REQUEST_ID, ""))
    return Response(body, error.status_code, error.headers, MEDIA_TYPE)


def _replace(scope: Scope, status: int, headers: MutableHeaders) -> bytes:
    """Return the body of a failure of this status, and fit the headers to it."""
    for name in _DROPPED_WITH_A_BODY:
        del headers[name]
    failure = failed(scope, HTTPException(status))
    headers.update(failure.headers)
    return bytes(failure.body)


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """Return the id of a request: the client's, if it is a harmless one, or a new one."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    return given.decode() if _ACCEPTED_REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
