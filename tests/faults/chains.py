"""The history of each task, replayed: a requested write must explain every version.

An acknowledged write has its version. A version without an acknowledgement must come from a write
of unknown outcome: it was sent before that version was first seen, it was allowed in the previous
version, and its change leads to every content that was seen at a version.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from faults.answers import Finding, named
from faults.record import Attempt, Operation, Outcome, Row, Task

Content = tuple[str, str | None, bool]
State = tuple[Content, frozenset[int]]
"""A content, and the writes of unknown outcome that it requires."""

MOST_STATES = 5_000


@dataclass
class Chain:
    """All known events of one task."""

    task: str
    create: Operation | None = None
    operations: list[Operation] = field(default_factory=list)
    seen: list[tuple[Attempt, Task]] = field(default_factory=list)
    row: Row | None = None
    happened: int = 0
    """The minimum number of writes of unknown outcome that were done."""

    def check(self) -> Iterator[Finding]:
        """Yield the violations in this task's history."""
        yield from self._presence()
        yield from self._order()
        yield from self._contents()
        acknowledged = dict[int, Operation]()
        for operation in self._writes(Outcome.ACKNOWLEDGED):
            version = operation.acknowledged.version  # type: ignore[union-attr] # it is acknowledged
            assert version is not None
            if version in acknowledged:
                other = named(acknowledged[version])
                yield "lost", f"{self.task}: version {version} to {other} and {named(operation)}"
            acknowledged[version] = operation
        yield from self._replay(acknowledged)

    @property
    def first_seen(self) -> float:
        """The time of the first answer that showed it."""
        return min((attempt.answered_at for attempt, _ in self.seen), default=math.inf)

    @property
    def first_delete(self) -> float:
        """The time of the first request to delete it that may have been done."""
        return min((delete.sent_at for delete in self._deletes()), default=math.inf)

    def _writes(self, outcome: Outcome) -> list[Operation]:
        kinds = {"patch", "put", "toggle"}
        return [o for o in self.operations if o.kind in kinds and o.outcome is outcome]

    def _deletes(self) -> list[Operation]:
        return [
            operation
            for operation in self.operations
            if operation.kind == "delete" and operation.outcome is not Outcome.REFUSED
        ]

    def _presence(self) -> Iterator[Finding]:
        """Found unless deleted; not found once deleted."""
        done = [delete for delete in self._deletes() if delete.acknowledged is not None]
        if self.row is None and not self._deletes():
            yield "lost", f"{self.task} is gone without a deletion"
        if self.row is not None and not self.seen:
            yield "lost", f"{self.task} is there and no list shows it"
        if len(done) > 1:
            yield "duplicated", f"{self.task} was deleted {len(done)} times"
        if done and self.row is not None:
            yield "lost", f"{self.task} is there although {named(done[0])} was acknowledged"
        gone_at = min(
            (d.acknowledged.answered_at for d in done if d.acknowledged), default=math.inf
        )
        for attempt, _ in self.seen:
            if attempt.sent_at > gone_at and not attempt.replayed:
                yield "lost", f"{self.task} was seen after its deletion"
        for operation in self.operations:
            for attempt in operation.attempts:
                if attempt.status == 404 and attempt.answered_at < self.first_delete:
                    yield "lost", f"{self.task} was not found by {named(operation)}"

    def _order(self) -> Iterator[Finding]:
        """No answer shows an older version than one already shown when the request was sent."""
        versioned = [a for a, _ in self.seen if a.version is not None and not a.replayed]
        answered = sorted(versioned, key=lambda attempt: attempt.answered_at)
        newest, position = 0, 0
        for attempt in sorted(versioned, key=lambda attempt: attempt.sent_at):
            while answered[position].answered_at < attempt.sent_at:
                newest = max(newest, answered[position].version or 0)
                position += 1
            if (attempt.version or 0) < newest:
                yield "lost", f"{self.task}: version {attempt.version} shown after {newest}"

    def _contents(self) -> Iterator[Finding]:
        """One content per version, and one per time of change."""
        versions, times = defaultdict[int, set[Task]](set), defaultdict[object, set[Task]](set)
        for attempt, task in self.seen:
            times[task.updated_at].add(task)
            if attempt.version is not None:
                versions[attempt.version].add(task)
        if self.row is not None:
            times[self.row.task.updated_at].add(self.row.task)
            versions[self.row.version].add(self.row.task)
        for which, tasks in [*versions.items(), *times.items()]:
            if len(tasks) > 1:
                yield "unexplained", f"{self.task}: {which} has {len(tasks)} contents: {tasks}"
        ordered = [tasks for _, tasks in sorted(versions.items())]
        for earlier, later in pairwise(ordered):
            if min(task.updated_at for task in later) <= max(task.updated_at for task in earlier):
                yield "unexplained", f"{self.task}: time ran backwards: {earlier}, {later}"

    def _replay(self, acknowledged: dict[int, Operation]) -> Iterator[Finding]:
        known = {a.version: _content(task) for a, task in self.seen if a.version is not None}
        if self.row is not None:
            known[self.row.version] = _content(self.row.task)
            if above := [
                version for version in {*known, *acknowledged} if version > self.row.version
            ]:
                yield "lost", f"{self.task} is at {self.row.version}, acknowledged were {above}"
                return
        elif not known:
            return
        if self.create is None:
            yield "unexplained", f"{self.task} was created by no request"
            return
        doubtful = {o.number: o for o in self._writes(Outcome.IN_DOUBT)}
        states: set[State] = {(_created(self.create), frozenset())}
        for version in range(1, max(known) + 1):
            if version > 1:
                shown_by = self._shown_by(version)
                some = {
                    number: operation
                    for number, operation in doubtful.items()
                    if operation.sent_at < shown_by
                }
                states = _next(states, version, acknowledged.get(version), some)
            if version in known:
                states = {state for state in states if state[0] == known[version]}
            if not states or len(states) > MOST_STATES:
                by = acknowledged.get(version)
                who = named(by) if by is not None else f"one of {len(doubtful)} in doubt"
                yield "unexplained", f"{self.task}: version {version} of {max(known)} by {who}"
                return
        self.happened = min(len(used) for _, used in states)

    def _shown_by(self, version: int) -> float:
        return min(
            (a.answered_at for a, _ in self.seen if a.version is not None and a.version >= version),
            default=math.inf,
        )


def _next(
    states: set[State], version: int, done: Operation | None, doubtful: dict[int, Operation]
) -> set[State]:
    """The possible states at this version: after its write, or after one of unknown outcome."""
    following = set[State]()
    for content, used in states:
        if done is not None:
            if done.if_match in {None, version - 1}:
                following.add((_changed(content, done), used))
            continue
        for number, operation in doubtful.items():
            if number not in used and operation.if_match in {None, version - 1}:
                following.add((_changed(content, operation), used | {number}))
    return following


def _content(task: Task) -> Content:
    return task.title, task.description, task.completed


def _created(create: Operation) -> Content:
    change = create.change
    return change["title"], change["description"], change["completed"]


def _changed(content: Content, operation: Operation) -> Content:
    title, description, completed = content
    if operation.kind == "toggle":
        return title, description, not completed
    change = operation.change
    return (
        change.get("title", title),
        change.get("description", description),
        change.get("completed", completed),
    )
