"""The gate in front of an operation: it says who calls before a byte of the body is read."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope

from tasks_backend.auth.tokens import TokenVerifier
from tasks_backend.caller import Caller, admit
from tasks_backend.errors import InvalidToken, MissingToken
from tasks_backend.incoming import Incoming

Gate = Callable[[Scope, Receive], Awaitable[Receive]]
"""Lets a request in or raises; returns what its body may be read from."""


@dataclass(frozen=True)
class Limits:
    """How much body a request may bring, in bytes, and how long it may take, in seconds."""

    max_body_bytes: int
    timeout: float


def open_gate(limits: Limits) -> Gate:
    """Return the gate of public routes: nobody is asked, but bodies have a size and a deadline."""

    async def gate(scope: Scope, receive: Receive) -> Receive:
        deadline = asyncio.get_running_loop().time() + limits.timeout
        return Incoming(scope, receive, limit=limits.max_body_bytes, deadline=deadline)

    return gate


def closed_gate(verifier: TokenVerifier, limits: Limits) -> Gate:
    """Return the gate of every other route: a valid token first, then the body's size (SC-005)."""

    async def gate(scope: Scope, receive: Receive) -> Receive:
        deadline = asyncio.get_running_loop().time() + limits.timeout
        subject = await verifier.subject(_bearer_token(scope), deadline=deadline)
        incoming = Incoming(scope, receive, limit=limits.max_body_bytes, deadline=deadline)
        admit(scope, Caller(subject, deadline, incoming.hung_up))
        return incoming

    return gate


def _bearer_token(scope: Scope) -> str:
    """Return the credentials of exactly one Authorization header (RFC 6750, 2.1)."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) > 1:
        raise InvalidToken
    value = values[0].strip(b" \t") if values else b""  # as RFC 9110, 5.5 has it: these two only
    scheme, _, credentials = value.partition(b" ")
    token = credentials.lstrip(b" ")
    if scheme.lower() != b"bearer" or not token:
        raise MissingToken
    return token.decode("latin-1")  # never fails; the token's own alphabet is checked next
