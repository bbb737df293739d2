"""The outermost middleware: standard headers, problem details (RFC 9457) and the access log.

`ProblemDetailsMiddleware` is outside CORS, so that a refused preflight is a problem document too.
`UnhandledErrorMiddleware` is inside CORS, so that a browser may read a 500 response.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable

from fastapi.exception_handlers import http_exception_handler
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks_backend.errors import MEDIA_TYPE, InternalError
from tasks_backend.http import access_log, request_record
from tasks_backend.http.caller import get_caller
from tasks_backend.http.problem import problem
from tasks_backend.http.receive import BODY_READ, discard, drain_arrived, has_body
from tasks_backend.http.request_record import RequestRecord

logger = logging.getLogger("tasks_backend")

STANDARD_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
"""What every response carries beside its request id; a route may set its own `Cache-Control`."""

_REQUEST_ID = "tasks_backend.request_id"
_ACCEPTED_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BODY_HEADERS = ("content-length", "content-type", "content-encoding", "etag")


class ProblemDetailsMiddleware:
    """Add standard headers to responses, make failures problem documents (FR-011), log requests.

    If a response begins before the whole body has arrived, the connection is closed (RFC 9112, 9.6),
    or the stream of HTTP/2: otherwise the rest could be read as the next request, or without limit.
    """

    def __init__(self, app: ASGIApp, hash_user: Callable[[str], str]) -> None:
        self.app = app
        self._hash_user = hash_user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope[_REQUEST_ID] = identity = request_id(scope["headers"])
        start = time.perf_counter()
        record = RequestRecord(identity, scope["method"])
        request_record.set_record(record)
        replacement: bytes | None = None
        closing = ended = False

        async def send_response(message: Message) -> None:
            nonlocal replacement, closing, ended
            if message["type"] == "http.response.start":
                record.status = message["status"]
                headers = MutableHeaders(scope=message)
                _add_standard(headers, identity)
                replacement = _replacement(scope, message["status"], headers)
                if (
                    BODY_READ not in scope
                    and has_body(scope)
                    and not await drain_arrived(scope, receive)
                ):
                    closing = True
                    if scope["http_version"].startswith("1"):  # HTTP/2 ends only the stream
                        headers["Connection"] = "close"
            elif ended:  # the rest of a body that is not sent: of HEAD, or of a failure
                await asyncio.sleep(0)  # it may be endless
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
                await asyncio.sleep(0)  # an endless body must not block the event loop

        try:
            await self.app(scope, receive, send_response)
        finally:
            if record.route is None:  # not a resource of the API: the documents, or no route
                record.route = getattr(scope.get("route"), "path", None)
            caller = get_caller(scope)
            access_log.write(
                record,
                duration=time.perf_counter() - start,
                user=self._hash_user(caller.user_id) if caller else None,
            )


class UnhandledErrorMiddleware:
    """Answer an unhandled exception with a generic 500 response; the traceback is logged.

    So are a cancellation that the server did not ask for, and a route that sends no response. After the
    whole response, an exception of a background task is only logged: it is not the next request's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. An exception within a response ends the connection."""
        started = complete = False

        async def send_watched(message: Message) -> None:
            nonlocal started, complete
            started = True
            await send(message)
            complete = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            await self.app(scope, receive, send_watched)
            failed = not started and scope["type"] == "http"
            if failed:
                logger.error("a route sent no response (request %s)", scope.get(_REQUEST_ID))
        except ClientDisconnect:
            return  # no response is possible; the log line has no status
        except BaseException as error:
            if scope["type"] != "http" or (started and not complete) or _ends_the_task(error):
                raise
            logger.exception("unhandled exception (request %s)", scope.get(_REQUEST_ID))
            failed = not started
        if failed:
            await problem_response(scope, InternalError())(scope, receive, send)


def _ends_the_task(error: BaseException) -> bool:
    """Return whether the server, or the interpreter, wants to end the task."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit))


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Answer a raised HTTPException: ours, the framework's or a plugin's.

    One that no server can send is raised again, and so answered with a 500.
    """
    if not isinstance(error, HTTPException) or not _can_be_sent(error):
        raise error
    if error.status_code < 400:  # noqa: PLR2004 - a redirect, for example, is no failure
        return await http_exception_handler(request, error)
    return problem_response(request.scope, error)


def problem_response(scope: Scope, error: HTTPException) -> Response:
    """Return the problem document for an error, and record its code."""
    path = scope.get("raw_path") or scope["path"].encode()
    code, body = problem(error, path.decode("ascii", "replace"), scope.get(_REQUEST_ID, ""))
    if (record := request_record.get_record()) is not None:
        record.code = code
        record.reason = getattr(error, "reason", None)
    headers = dict(error.headers or {})
    for name in [name for name in headers if name.lower() in _BODY_HEADERS]:
        del headers[name]
    return Response(body, error.status_code, headers, MEDIA_TYPE)


def _can_be_sent(error: HTTPException) -> bool:
    """Return whether HTTP has such a status and such headers (RFC 9110, 5.1, 5.5 and 15)."""
    return 200 <= error.status_code < 600 and all(  # noqa: PLR2004 - below 200 more would follow
        _HEADER_NAME.fullmatch(name) and not _CONTROL_CHARACTER.search(value)
        for name, value in (error.headers or {}).items()
    )


def _add_standard(headers: MutableHeaders, identity: str) -> None:
    """Add what every response carries."""
    headers["X-Request-Id"] = identity
    for name, value in STANDARD_HEADERS.items():
        headers.setdefault(name, value)


def _replacement(scope: Scope, status: int, headers: MutableHeaders) -> bytes | None:
    """Return the body to send instead of the response's: none for HEAD, and a problem document for
    a failure without one, whose headers are changed to match.
    """
    body = None
    if status >= 400 and headers.get("content-type") != MEDIA_TYPE:  # noqa: PLR2004 - RFC 9110
        for name in _BODY_HEADERS:
            del headers[name]
        response = problem_response(scope, HTTPException(status))
        headers.update(response.headers)
        body = bytes(response.body)
    return b"" if scope["method"] == "HEAD" else body


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """Return the client's request id if it is valid, or a new one."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"").strip(b" \t")
    return given.decode() if _ACCEPTED_REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
