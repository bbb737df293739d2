"""Who calls and by when they are answered: what the gate knows and every layer above it may ask."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from starlette.types import Scope

_KEY = "tasks_backend.caller"


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of everything that this request may touch."""

    user_id: str
    """The token's `sub`: 1-255 characters without control characters, never assumed a UUID."""
    deadline: float
    """When the request must be answered, on the event loop's clock."""
    disconnected: Callable[[], Awaitable[None]] | None = None
    """Returns when the caller no longer waits for the answer; none where nobody can tell."""


def set_caller(scope: Scope, caller: Caller) -> None:
    """Let the request in as this caller."""
    scope[_KEY] = caller


def require_caller(scope: Scope) -> Caller:
    """Return who calls. Raises LookupError on a public route, where nobody was asked."""
    caller = get_caller(scope)
    if caller is None:
        raise LookupError("a public route has no caller")
    return caller


def get_caller(scope: Scope) -> Caller | None:
    """Return who calls, or None for whom the gate has not let in."""
    caller: Caller | None = scope.get(_KEY)
    return caller


def bearer_credential(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the token of the first Authorization header, whatever the spelling around it.

    None if there is none (RFC 6750, 2.1). Who sent it is not known before it is verified.
    """
    value = next((value for name, value in headers if name == b"authorization"), b"")
    value = value.strip(b" \t")  # as RFC 9110, 5.5 has it: these two only
    scheme, _, credentials = value.partition(b" ")
    token = credentials.lstrip(b" ")
    if scheme.lower() != b"bearer" or not token:
        return None
    return bytes(token).decode("latin-1")  # never fails; the token's own alphabet is checked later
