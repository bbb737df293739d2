"""The gate in front of an operation: refuse under overload, verify the token, read the body, take a place.

The place comes last: a request that waits for a key or a body must not block another request.
"""

import asyncio
import sys
from dataclasses import dataclass, replace
from typing import Protocol

from starlette.types import Receive, Scope

from tasks_backend.errors import InvalidToken, MissingToken
from tasks_backend.http.caller import Caller, bearer_credential, set_caller
from tasks_backend.http.limiter import (
    ConcurrencyLimiter,
    Place,
    credential_sender,
    user_sender,
)
from tasks_backend.http.receive import BodyReader, ReceivedBody
from tasks_backend.http.resource import Gate

PUBLIC = ("public",)
"""The limiter's sender of all requests that need no token."""


@dataclass(frozen=True)
class Bounds:
    """The limits of the requests behind one gate. Times are in seconds."""

    timeout: float
    limiter: ConcurrencyLimiter
    bodies: BodyReader

    def deadline(self) -> float:
        """Return the deadline of a request that starts now, on the event loop's clock."""
        return asyncio.get_running_loop().time() + self.timeout

    def without_limit(self) -> "Bounds":
        """Return these bounds for operators' requests: probes are answered under overload too."""
        return replace(self, limiter=ConcurrencyLimiter(sys.maxsize))


class Verifier(Protocol):
    """Verifies tokens, normally a TokenVerifier."""

    async def subject(self, token: str, *, deadline: float) -> str:
        """Return the user's id. Raises InvalidToken, ExpiredToken or AuthUnavailable."""


def open_gate(bounds: Bounds) -> Gate:
    """Return the gate of public routes, which need no token."""

    async def gate(scope: Scope, receive: Receive) -> tuple[ReceivedBody, Place]:
        body = await bounds.bodies.read(scope, receive, PUBLIC, bounds.deadline())
        return body, bounds.limiter.acquire(PUBLIC)

    return gate


def closed_gate(verifier: Verifier, bounds: Bounds) -> Gate:
    """Return the gate of all other routes, which checks the token first (SC-005)."""

    async def gate(scope: Scope, receive: Receive) -> tuple[ReceivedBody, Place]:
        deadline = bounds.deadline()
        token = _bearer_token(scope)
        credential = credential_sender(token)
        bounds.limiter.require_place(credential)  # before the expensive verification
        user_id = await verifier.subject(token, deadline=deadline)
        set_caller(scope, Caller(user_id, deadline))  # for the log, if the body is refused
        user = user_sender(user_id)
        body = await bounds.bodies.read(scope, receive, user, deadline)
        place = bounds.limiter.acquire(credential, user)
        set_caller(scope, Caller(user_id, deadline, body.disconnected))
        return body, place

    return gate


def _bearer_token(scope: Scope) -> str:
    """Return the credential of exactly one Authorization header (RFC 6750, 2.1)."""
    if sum(name == b"authorization" for name, _ in scope["headers"]) > 1:
        raise InvalidToken("several headers")
    token = bearer_credential(scope["headers"])
    if token is None:
        raise MissingToken
    return token
