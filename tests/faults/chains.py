"""The life of each task, replayed: every version is explained by a write that somebody asked for.

A write that was acknowledged has its version. A version that nobody was told of must come from a
write in doubt: one that was sent before anybody saw that version, that was allowed in the version
before, and whose change leads to every content that was seen at a version.
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
"""A content, and the writes in doubt that must have happened for it."""

MOST_STATES = 5_000


@dataclass
class Chain:
    """All that is known of one task."""

    task: str
    create: Operation | None = None
    operations: list[Operation] = field(default_factory=list)
    seen: list[tuple[Attempt, Task]] = field(default_factory=list)
    row: Row | None = None
    happened: int = 0
    """How many writes in doubt did happen, at the least."""

    def check(self) -> Iterator[Finding]:
        """Yield what is wrong with this task's life."""
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
        """When somebody had been shown it."""
        return min((attempt.answered_at for attempt, _ in self.seen), default=math.inf)

    @property
    def first_delete(self) -> float:
        """When somebody first asked to delete it, in a way that may have been done."""
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
        """There unless deleted; gone once deleted."""
        done = [delete for delete in self._deletes() if delete.acknowledged is not None]
        if self.row is None and not self._deletes():
            yield "lost", f"{self.task} is gone and nobody deleted it"
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
        """Nobody is shown an older version than somebody had been shown when they asked."""
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
        """A version has one content, and so has a time of change."""
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
            yield "unexplained", f"{self.task} was created by nobody"
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
    """The states that may follow at this version: by the write that had it, or by one in doubt."""
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
