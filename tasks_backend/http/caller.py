"""The caller and the deadline of a request: set by the gate, read by every layer above it."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from starlette.types import Scope

_KEY = "tasks_backend.caller"


@dataclass(frozen=True, slots=True)
class Caller:
    """The user whose data a request may access."""

    user_id: str
    """The token's `sub`: 1-255 characters without control characters, never assumed a UUID."""
    deadline: float
    """When the request must be answered, on the event loop's clock."""
    disconnected: Callable[[], Awaitable[None]] | None = None
    """Returns when the client disconnects; None if that cannot be detected."""
    counts_as_use: bool = True
    """Whether probes of readiness query the database for a while: it is awake (decision 0010)."""


def set_caller(scope: Scope, caller: Caller) -> None:
    """Store the verified caller of a request."""
    scope[_KEY] = caller


def require_caller(scope: Scope) -> Caller:
    """Return the caller. Raises LookupError on a public route, which has none."""
    caller = get_caller(scope)
    if caller is None:
        raise LookupError("a public route has no caller")
    return caller


def get_caller(scope: Scope) -> Caller | None:
    """Return the caller, or None if no token has been verified."""
    caller: Caller | None = scope.get(_KEY)
    return caller


def bearer_credential(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the unverified token of the first Authorization header, in any case and spacing.

    None if there is none (RFC 6750, 2.1).
    """
    value = next((value for name, value in headers if name == b"authorization"), b"")
    value = value.strip(b" \t")  # RFC 9110, 5.5: these two only
    scheme, _, credentials = value.partition(b" ")
    token = credentials.lstrip(b" ")
    if scheme.lower() != b"bearer" or not token:
        return None
    return bytes(token).decode("latin-1")  # never fails; the token's characters are checked later
