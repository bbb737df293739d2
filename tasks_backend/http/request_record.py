"""What one request did: noted while it runs, for the log line at its end and for plugins that watch.

It holds no token, no claim, no body and no path that a client wrote, so it may be shown whole.
"""

import time
import warnings
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class DatabaseCall:
    """One exchange with the database."""

    kind: Literal["connect", "ping", "statement"]
    started_at: float
    """Seconds since the epoch."""
    duration: float
    """Seconds."""
    outcome: str
    """`ok`, `cancelled`, or the class of the failure (docs/reliability.md)."""


@dataclass(slots=True)
class RequestRecord:
    """One request, as far as it has come. Times are in seconds."""

    request_id: str
    method: str
    started_at: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    route: str | None = None
    """The template of the path, such as `/api/v1/tasks/{task_id}`; none if nothing is there."""
    status: int | None = None
    """None until the response has begun, and for a client that went away before it did."""
    code: str | None = None
    """The problem's code, if the request failed."""
    counted: bool = False
    """Whether the failure is in a count that is logged, so that it needs no line of its own."""
    waited: float = 0.0
    """How long it stood in line for a connection to the database."""
    database_calls: list[DatabaseCall] = field(default_factory=list)
    """In order: with all well there is one, whose kind is `statement`."""

    @property
    def exchanges(self) -> list[DatabaseCall]:
        """The former name of `database_calls`."""
        warnings.warn("exchanges is now database_calls", DeprecationWarning, stacklevel=2)
        return self.database_calls


_current: ContextVar[RequestRecord | None] = ContextVar("tasks_backend.observation", default=None)


def set_record(record: RequestRecord) -> None:
    """Make this the observation of the request that the running task serves."""
    _current.set(record)


def get_record() -> RequestRecord | None:
    """Return the observation of the running request; none outside of one, as in a command."""
    return _current.get()
