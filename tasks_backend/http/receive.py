"""Reads a request's whole body, within a size and a deadline, before the request gets a place."""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Hashable

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from tasks_backend.errors import BadRequest, Overloaded, PayloadTooLarge

BODY_READ = "tasks_backend.body_read"
"""Key in a request's scope: its body was read completely."""

DISCARDED_BYTES = 1024 * 1024  # of a refused body, read after the answer
DISCARD_TIMEOUT = 1.0  # seconds

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
"""A gateway's event (mangum) has a body without saying how long it is."""
_LENGTH = re.compile(rb"[0-9]{1,19}")  # int() raises for thousands of digits, zeros too


class BodyReader:
    """Reads bodies of at most `max_bytes`.

    At most `max_waiting` bodies are awaited. When one more comes, the sender with the most waits loses
    its oldest one (503). A body that has already arrived is never refused.
    """

    def __init__(self, *, max_bytes: int, max_waiting: int) -> None:
        self._max_bytes = max_bytes
        self._max_waiting = max_waiting
        self._waits: dict[Hashable, deque[asyncio.Timeout]] = {}
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """The number of bodies that are awaited."""
        return self._waiting

    async def read(
        self, scope: Scope, receive: Receive, sender: Hashable, deadline: float
    ) -> "ReceivedBody":
        """Return the whole body; `deadline` is on the loop's clock.

        Raises PayloadTooLarge (before reading, if the announced length is too large), BadRequest
        if the body is late, Overloaded if its wait ends for another body, and ClientDisconnect.
        """
        length = announced_length(scope)
        if length is None or length > self._max_bytes:
            raise PayloadTooLarge
        body = b""
        if length or scope["method"] in _WITH_BODY or has_body(scope):
            try:
                async with asyncio.timeout_at(deadline) as wait:
                    self._begin(sender, wait)
                    try:
                        body = await self._read(receive)
                    finally:
                        self._end(sender, wait)
            except TimeoutError:
                if wait.when() != deadline:
                    raise Overloaded from None
                raise BadRequest("The body did not arrive in time.") from None
        scope[BODY_READ] = True
        return ReceivedBody(body, receive)

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise PayloadTooLarge
            if not message.get("more_body", False):
                return bytes(body)

    def _begin(self, sender: Hashable, wait: asyncio.Timeout) -> None:
        if self._waiting == self._max_waiting:
            most = max(self._waits, key=lambda key: len(self._waits[key]))
            longest = self._waits[most][0]
            self._end(most, longest)
            if not longest.expired():  # an expired one ends by itself
                longest.reschedule(asyncio.get_running_loop().time())
        self._waiting += 1
        self._waits.setdefault(sender, deque()).append(wait)

    def _end(self, sender: Hashable, wait: asyncio.Timeout) -> None:
        waits = self._waits.get(sender, ())
        if wait in waits:
            self._waiting -= 1
            self._waits[sender].remove(wait)
            if not self._waits[sender]:
                del self._waits[sender]


class ReceivedBody:
    """ASGI's `receive` for a request whose body has been read."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        """Return the body in one message, and then the server's messages."""
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def disconnected(self) -> None:
        """Return when the client has disconnected."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


def announced_length(scope: Scope) -> int | None:
    """Return the `Content-Length`, 0 without one, None if it is invalid."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if _LENGTH.fullmatch(value) else None
    return 0


def has_body(scope: Scope) -> bool:
    """Return whether a body is announced, by a length or as chunks (RFC 9112, 6.3).

    HTTP/2 need not announce it: what follows the head says whether there is one (RFC 9113, 8.1).
    """
    return not scope["http_version"].startswith("1") or any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


async def drain_arrived(scope: Scope, receive: Receive) -> bool:
    """Read what has arrived of a body, without waiting. Return whether that was all of it."""
    if any(name == b"expect" for name, _ in scope["headers"]):
        return False  # receive() would send 100 Continue (RFC 9110, 10.1.1)
    try:
        async with asyncio.timeout(0):
            while (message := await receive()).get("more_body", False):
                pass
    except TimeoutError:
        return False
    return bool(message["type"] == "http.request")


async def discard(receive: Receive) -> None:
    """Read the rest of the body after the response, so that the client can read the response.

    Closing a connection with unread bytes resets it, and the response is lost.
    """
    remaining = DISCARDED_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_TIMEOUT):
            while remaining > 0 and (message := await receive()).get("more_body", False):
                remaining -= len(message["body"])
