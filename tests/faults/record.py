"""The requests and answers of each client: the history for the checker."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

WRITES = frozenset({"create", "patch", "put", "toggle", "delete", "patch_all", "delete_all"})


class Outcome(Enum):
    """What a client knows about its operation."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    IN_DOUBT = "in doubt"


@dataclass(frozen=True, slots=True)
class Task:
    """A task as in an answer or in the database."""

    id: str
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, answered: dict[str, Any]) -> "Task":
        times = {
            name: datetime.fromisoformat(answered[name]) for name in ("created_at", "updated_at")
        }
        return cls(**{**answered, **times})


@dataclass(frozen=True, slots=True)
class Selection:
    """The query of a change of many tasks."""

    completed: bool
    q: str | None

    def matches(self, title: str, description: str | None, completed: bool) -> bool:
        texts = (title.lower(), (description or "").lower())
        return completed is self.completed and (
            self.q is None or any(self.q in text for text in texts)
        )


@dataclass(slots=True)
class Attempt:
    """One request. `status` is 0 without a complete answer; `error` then says how it ended."""

    sent_at: float
    answered_at: float
    status: int
    code: str = ""
    error: str = ""
    retry_after: bool = False
    replayed: bool = False
    version: int | None = None
    tasks: tuple[Task, ...] = ()
    count: int | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether a write may have been done without an acknowledgement."""
        if self.status == 0:
            return self.error != "refused"
        return self.code in {"database_unavailable", "deadline_exceeded", "internal_error"}


@dataclass(slots=True)
class Operation:
    """One operation of one client, with all its attempts.

    `change` has the requested field values; `if_match` the expected version; `selection` the
    query of a change of many tasks.
    """

    number: int
    user: str
    side: str
    kind: str
    task: str | None = None
    key: str | None = None
    change: dict[str, Any] = field(default_factory=dict)
    if_match: int | None = None
    foreign: bool = False
    selection: Selection | None = None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def is_write(self) -> bool:
        return self.kind in WRITES and not self.foreign

    @property
    def sent_at(self) -> float:
        return self.attempts[0].sent_at

    @property
    def acknowledged(self) -> Attempt | None:
        """The first attempt that was acknowledged."""
        return next((a for a in self.attempts if 200 <= a.status < 300), None)

    @property
    def outcome(self) -> Outcome:
        if self.acknowledged is not None:
            return Outcome.ACKNOWLEDGED
        doubtful = any(attempt.in_doubt for attempt in self.attempts)
        return Outcome.IN_DOUBT if doubtful else Outcome.REFUSED


@dataclass(frozen=True, slots=True)
class Row:
    """A task in the database at the end."""

    task: Task
    version: int


@dataclass
class History:
    """All operations, and the database at the end.

    Times are of the load generator's clock; `lags` has its own delays: (time, seconds).
    """

    operations: list[Operation] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)

    def lag(self, begin: float, end: float) -> float:
        return max((lag for at, lag in self.lags if begin <= at <= end + lag), default=0.0)
