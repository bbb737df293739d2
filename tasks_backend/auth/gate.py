"""The gate in front of an operation: who calls, then the whole body, then a place among those in work.

A request gets its place last, so that neither an unknown key nor a body that is awaited keeps a
place from a request that could use it.
"""

import asyncio
import sys
from dataclasses import dataclass, replace

from starlette.types import Receive, Scope

from tasks_backend.auth.tokens import TokenVerifier
from tasks_backend.errors import InvalidToken, MissingToken
from tasks_backend.http.caller import Caller, bearer_credential, set_caller
from tasks_backend.http.limiter import ConcurrencyLimiter, Place
from tasks_backend.http.receive import BodyReader, ReceivedBody
from tasks_backend.http.resource import Gate

PUBLIC = "public"
"""The one sender of all requests that need no token."""


@dataclass(frozen=True)
class Bounds:
    """What bounds the requests behind one gate. Times are in seconds."""

    timeout: float
    limiter: ConcurrencyLimiter
    bodies: BodyReader

    def deadline(self) -> float:
        """Return when a request that begins now must be answered, on the loop's clock."""
        return asyncio.get_running_loop().time() + self.timeout

    def without_limit(self) -> "Bounds":
        """Return these bounds for operators' requests: a probe is answered under overload too."""
        return replace(self, limiter=ConcurrencyLimiter(sys.maxsize))


def open_gate(bounds: Bounds) -> Gate:
    """Return the gate of public routes: nobody is asked who calls."""

    async def gate(scope: Scope, receive: Receive) -> tuple[ReceivedBody, Place]:
        body = await bounds.bodies.read(scope, receive, PUBLIC, bounds.deadline())
        return body, bounds.limiter.acquire(PUBLIC)

    return gate


def closed_gate(verifier: TokenVerifier, bounds: Bounds) -> Gate:
    """Return the gate of every other route: a valid token comes first (SC-005)."""

    async def gate(scope: Scope, receive: Receive) -> tuple[ReceivedBody, Place]:
        deadline = bounds.deadline()
        token = _bearer_token(scope)
        bounds.limiter.require_place(token)  # before the token costs its verification
        user_id = await verifier.subject(token, deadline=deadline)
        body = await bounds.bodies.read(scope, receive, user_id, deadline)
        place = bounds.limiter.acquire(token, user_id)
        set_caller(scope, Caller(user_id, deadline, body.disconnected))
        return body, place

    return gate


def _bearer_token(scope: Scope) -> str:
    """Return the credential of exactly one Authorization header (RFC 6750, 2.1)."""
    if sum(name == b"authorization" for name, _ in scope["headers"]) > 1:
        raise InvalidToken
    token = bearer_credential(scope["headers"])
    if token is None:
        raise MissingToken
    return token
