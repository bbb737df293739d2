"""A record of what one request did, for its log line and for plugins.

It holds no token, claim, body or path from the client, so all of it may be shown.
"""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from tasks_backend.former_names import warn_of_former_name


@dataclass(frozen=True, slots=True)
class DatabaseCall:
    """One round trip to the database."""

    kind: Literal["connect", "ping", "statement"]
    started_at: float
    """Seconds since the epoch."""
    duration: float
    """Seconds."""
    outcome: str
    """`ok`, `cancelled`, or the class of the failure (docs/reliability.md)."""


@dataclass(slots=True)
class RequestRecord:
    """One request so far. Times are in seconds."""

    request_id: str
    method: str
    started_at: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    route: str | None = None
    """The template of the path, such as `/api/v1/tasks/{task_id}`; None if no route matches."""
    status: int | None = None
    """None until the response has begun, also if the client disconnects before."""
    code: str | None = None
    """The problem's code, if the request failed."""
    reason: str | None = None
    """Why a token was refused, in a fixed word."""
    in_counted_warning: bool = False
    """Whether a CountedWarning includes the failure, which then gets no line of its own."""
    waited: float = 0.0
    """How long it waited for a database connection."""
    database_calls: list[DatabaseCall] = field(default_factory=list)
    """In order. Normally there is one, of kind `statement`."""

    @property
    def exchanges(self) -> list[DatabaseCall]:
        """The former name of `database_calls`."""
        warn_of_former_name("exchanges", "database_calls")
        return self.database_calls


_current: ContextVar[RequestRecord | None] = ContextVar(
    "tasks_backend.request_record", default=None
)


def set_record(record: RequestRecord) -> None:
    """Set the record of the request that the current task serves."""
    _current.set(record)


def get_record() -> RequestRecord | None:
    """Return the record of the current request; None outside of one, as in a command."""
    return _current.get()
