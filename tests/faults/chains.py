"""The history of each task, replayed: a requested write must explain every version.

An acknowledged write has its version. A version without an acknowledgement must come from a write
of unknown outcome: it was sent before that version was first seen, it was allowed in the previous
version, and its change leads to every content that was seen at a version.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from faults.answers import Finding, named
from faults.record import Attempt, Operation, Outcome, Row, Task

Content = tuple[str, str | None, bool]
Used = frozenset[tuple[int, int]]
"""The numbers of the used writes, each with the version that it made: writes of unknown outcome, and
changes of many tasks, whose answers name no task."""
State = tuple[Content, Used, float, float]
"""A content, and the writes that it requires; the last one was not done before the first time, and
was done by the second."""

MOST_STATES = 5_000


@dataclass
class Chain:
    """All known events of one task."""

    task: str
    create: Operation | None = None
    operations: list[Operation] = field(default_factory=list)
    bulk: list[Operation] = field(default_factory=list)
    """The owner's changes of many tasks that were not refused."""
    seen: list[tuple[Attempt, Task]] = field(default_factory=list)
    row: Row | None = None
    happened: int = 0
    """The minimum number of writes of this task of unknown outcome that were done."""
    explanations: set[Used] = field(default_factory=set)
    """All possible ways to the last known version."""

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

    @cached_property
    def first_seen(self) -> float:
        """The time of the first answer that showed it."""
        return min((attempt.answered_at for attempt, _ in self.seen), default=math.inf)

    @cached_property
    def last_seen(self) -> float:
        """The time of the last request that was answered with it; infinite if it is still there."""
        sent = (attempt.sent_at for attempt, _ in self.seen if not attempt.replayed)
        return max(sent, default=-math.inf) if self.row is None else math.inf

    @cached_property
    def gone_by(self) -> float:
        """The time of the first answer that shows that it is deleted; infinite without one."""
        gone = (
            a.answered_at
            for operation in self.operations
            for a in operation.attempts
            if a.status in {204, 404}
        )
        return min(gone, default=math.inf)

    @cached_property
    def first_delete(self) -> float:
        """The time of the first request to delete it that may have been done."""
        return min((delete.sent_at for delete in self.deletes), default=math.inf)

    def _writes(self, outcome: Outcome) -> list[Operation]:
        kinds = {"patch", "put", "toggle"}
        return [o for o in self.operations if o.kind in kinds and o.outcome is outcome]

    def may_have_met(self, bulk: Operation) -> bool:
        """Whether the task may have existed when this change of many tasks was done."""
        made = self.create is None or ended(bulk) > self.create.sent_at
        return made and bulk.sent_at < self.gone_by

    @cached_property
    def deletes(self) -> list[Operation]:
        """The deletions that may have deleted it."""
        own = [o for o in self.operations if o.kind == "delete"]
        possible = [o for o in own if o.outcome is not Outcome.REFUSED]
        if self.row is None and not any(o.acknowledged for o in possible):
            bulk = [o for o in self.bulk if o.kind == "delete_all" and self.may_have_met(o)]
            possible += [o for o in bulk if ended(o) >= self.last_seen]
        return possible

    def _presence(self) -> Iterator[Finding]:
        """Found unless deleted; not found once deleted."""
        deletes = [delete for delete in self.deletes if delete.kind == "delete"]
        done = [delete for delete in deletes if delete.acknowledged is not None]
        if self.row is None and not self.deletes:
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
        doubtful = self._writes(Outcome.IN_DOUBT)
        done_by = min(ended(self.create), self.shown_by(1))
        states: set[State] = {(_created(self.create), frozenset(), self.create.sent_at, done_by)}
        for version in range(1, max(known) + 1):
            if version > 1:
                by = acknowledged.get(version)
                writes = [by] if by is not None else self._possible(version, doubtful)
                following = (self._next(*state, version, o) for state in states for o in writes)
                states = {state for state in following if state is not None}
            if version in known:
                states = {state for state in states if state[0] == known[version]}
            if not states or len(states) > MOST_STATES:
                by = acknowledged.get(version)
                who = named(by) if by is not None else f"one of {len(doubtful)} in doubt"
                yield "unexplained", f"{self.task}: version {version} of {max(known)} by {who}"
                return
        if self.row is not None:
            states = {state for state in states if self._lasted(state[0], state[3], math.inf)}
            if not states:
                yield "partial", f"{self.task}: a change of many tasks left it out, or a list errs"
                return
        self.explanations = {used for _, used, *_ in states}
        numbers = {operation.number for operation in doubtful}
        self.happened = min(
            sum(number in numbers for number, _ in used) for used in self.explanations
        )

    def _possible(self, version: int, doubtful: list[Operation]) -> list[Operation]:
        """The writes that may have made this version, if no single write was acknowledged for it."""
        shown_by, not_before = self.shown_by(version), self.not_before(version)
        bulk = (o for o in self.bulk if o.kind == "patch_all" and ended(o) > not_before)
        return [o for o in (*doubtful, *bulk) if o.sent_at < shown_by]

    def _next(
        self,
        content: Content,
        used: Used,
        not_before: float,
        done_by: float,
        version: int,
        write: Operation,
    ) -> State | None:
        """The state after this write, or None if it cannot have been the next one."""
        if write.if_match not in {None, version - 1} or ended(write) <= not_before:
            return None
        if write.selection is not None and not write.selection.matches(*content):
            return None
        if any(number == write.number for number, _ in used):
            return None
        if not self._lasted(content, done_by, write.sent_at):
            return None
        if write.selection is not None or write.acknowledged is None:
            used |= {(write.number, version)}
        done_by = min(ended(write), self.shown_by(version))
        return _changed(content, write), used, max(not_before, write.sent_at), done_by

    def _lasted(self, content: Content, begin: float, end: float) -> bool:
        """Whether nothing contradicts that the task had this content from `begin` to `end`.

        Every answer between them shows it, and no change of many tasks between them selects it.
        """
        shown = all(
            _content(task) == content
            for attempt, task in self.seen
            if begin < attempt.sent_at and attempt.answered_at < end and not attempt.replayed
        )
        return shown and not any(
            o.selection is not None and o.selection.matches(*content)
            for o in self.bulk
            if begin < o.sent_at and ended(o) < end
        )

    def shown_by(self, version: int) -> float:
        """The time of the first answer that showed this version or a later one."""
        return min(
            (a.answered_at for a, _ in self.seen if a.version is not None and a.version >= version),
            default=math.inf,
        )

    def not_before(self, version: float) -> float:
        """The time of the last request that was answered with an earlier version."""
        earlier = (
            a.sent_at
            for a, _ in self.seen
            if a.version is not None and a.version < version and not a.replayed
        )
        return max(earlier, default=-math.inf)


def ended(operation: Operation) -> float:
    """The time by which an operation was done, if it was; infinite without an acknowledgement."""
    return operation.acknowledged.answered_at if operation.acknowledged else math.inf


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
