"""Changes of many tasks: each was done to all selected tasks or to none, and counted them.

Its answer names no task. The replayed histories say which tasks it changed for certain, and which it
may have changed. A task that was seen unchanged before and after it was left out.
"""

import math
from collections import defaultdict
from collections.abc import Iterator

from faults.answers import Finding, named
from faults.chains import Chain, ended
from faults.record import History, Operation, Outcome, Task


def assign(history: History, chains: dict[str, Chain]) -> None:
    """Give each task the changes of many tasks that may have changed it: its owner's."""
    bulk = defaultdict[str, list[Operation]](list)
    for operation in history.operations:
        if operation.selection is not None and operation.outcome is not Outcome.REFUSED:
            bulk[operation.user].append(operation)
    for chain in chains.values():
        if chain.create is not None:
            chain.bulk = bulk[chain.create.user]


def check(history: History, chains: dict[str, Chain]) -> tuple[list[Finding], int]:
    """Return the violations, and how many changes of unknown outcome were done at least."""
    own, unseen = defaultdict[str, list[Chain]](list), defaultdict[str, int](int)
    shown = set[int]()
    for chain in chains.values():
        if chain.create is not None:
            own[chain.create.user].append(chain)
            shown.add(chain.create.number)
    for operation in history.operations:
        if operation.kind == "create" and operation.outcome is Outcome.IN_DOUBT:
            unseen[operation.user] += operation.number not in shown
    found, happened = list[Finding](), 0
    for operation in history.operations:
        if operation.selection is None or operation.outcome is Outcome.REFUSED:
            continue
        changed = _Changed(operation, own[operation.user])
        happened += operation.acknowledged is None and bool(changed.certain)
        found += changed.check(unseen[operation.user])
    return found, happened


class _Changed:
    """The tasks that one change of many tasks changed: for certain, and possibly."""

    def __init__(self, bulk: Operation, chains: list[Chain]) -> None:
        self._bulk, self._chains = bulk, chains
        self.certain: list[Chain] = []
        self._possible = 0
        for chain in chains:
            certain, possible = self._changes(chain)
            self._possible += possible
            if certain:
                self.certain.append(chain)

    def check(self, unseen: int) -> Iterator[Finding]:
        """Yield the violations; `unseen` tasks may have been made and deleted unnoticed."""
        if (done := self._bulk.acknowledged) is not None:
            assert done.count is not None
            fewest, most = len(self.certain), self._possible + unseen
            if not fewest <= done.count <= most:
                yield "partial", f"{named(self._bulk)} counted {done.count} of {fewest} to {most}"
        elif not self.certain:
            return
        done_by = min([ended(self._bulk), *map(self._noticed, self.certain)])
        for chain in self._chains:
            if not chain.first_seen < self._bulk.sent_at <= done_by <= chain.last_seen:
                continue
            if self._seen_before(chain) & _seen_after(chain, done_by):
                yield "partial", f"{named(self._bulk)} left out {chain.task}"

    def _changes(self, chain: Chain) -> tuple[bool, bool]:
        """Whether it certainly, and whether it possibly changed this task."""
        if self._bulk.kind == "delete_all":
            deletes = [] if chain.row is not None else chain.deletes
            return deletes == [self._bulk], self._bulk in deletes
        if not chain.may_have_met(self._bulk):
            return False, False
        uses = [self._version(used) is not None for used in chain.explanations]
        later = chain.row is None and ended(self._bulk) > chain.not_before(math.inf)
        unknown = not uses or later  # it may have changed after its last known version
        return bool(uses) and all(uses), any(uses) or unknown

    def _version(self, used: frozenset[tuple[int, int]]) -> int | None:
        return next((version for number, version in used if number == self._bulk.number), None)

    def _noticed(self, chain: Chain) -> float:
        """The time by which an answer showed its effect on this task."""
        if self._bulk.kind == "delete_all":
            return chain.gone_by
        versions = (self._version(used) for used in chain.explanations)
        return max(chain.shown_by(version) for version in versions if version is not None)

    def _seen_before(self, chain: Chain) -> set[Task]:
        """The selected states of this task that were shown before it was requested."""
        selection = self._bulk.selection
        assert selection is not None
        return {
            task
            for attempt, task in chain.seen
            if attempt.answered_at < self._bulk.sent_at
            and not attempt.replayed
            and selection.matches(task.title, task.description, task.completed)
        }


def _seen_after(chain: Chain, time: float) -> set[Task]:
    """The states of this task that were shown from this time on; at the end, it is the row."""
    seen = {
        task for attempt, task in chain.seen if attempt.sent_at >= time and not attempt.replayed
    }
    return seen | {chain.row.task} if chain.row is not None else seen
