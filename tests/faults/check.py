"""The verdict on a run: all answers, compared with each other and with the final state."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from faults import answers, selections
from faults.answers import Finding, named
from faults.chains import Chain
from faults.record import History, Operation, Outcome

VIOLATIONS = (
    "lost",
    "duplicated",
    "unexplained",
    "partial",
    "foreign",
    "status 500",
    "contract",
    "no Retry-After",
    "late",
)


@dataclass
class Verdict:
    """The number and the places of violations."""

    writes: Counter[Outcome]
    happened: int
    """The minimum number of writes of unknown outcome that were done."""
    findings: dict[str, list[str]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        return {kind: len(self.findings.get(kind, ())) for kind in VIOLATIONS}

    @property
    def holds(self) -> bool:
        return not any(self.counts.values())


def check(history: History, deadline: float) -> Verdict:
    """Check a whole history. `deadline` is REQUEST_TIMEOUT."""
    writes = Counter(o.outcome for o in history.operations if o.is_write and o.attempts)
    chains, found = _chains(history)
    for chain in chains.values():
        found += chain.check()
    found += answers.check(history, deadline)
    found += _lists(history, chains)
    partial, bulk_happened = selections.check(history, chains)
    found += partial
    findings = defaultdict(list)
    for kind, what in found:
        findings[kind].append(what)
    happened = sum(
        chain.happened + (chain.create is not None and chain.create.outcome is Outcome.IN_DOUBT)
        for chain in chains.values()
    )
    return Verdict(writes, happened + bulk_happened, dict(findings))


def _chains(history: History) -> tuple[dict[str, Chain], list[Finding]]:
    """Group the events by task; find tasks that were created twice or by no request."""
    found = list[Finding]()
    chains, origins = dict[str, Chain](), defaultdict[str, set[str]](set)
    by_number = {operation.number: operation for operation in history.operations}

    def chain(task: str, description: str | None) -> Chain:
        origin = (description or "").partition(" ")[0]
        origins[origin].add(task)
        if task not in chains:
            chains[task] = Chain(task, create=by_number.get(int(origin[1:] or 0)))
        return chains[task]

    for operation in history.operations:
        for attempt in operation.attempts:
            for task in attempt.tasks:
                chain(task.id, task.description).seen.append((attempt, task))
    for row in history.rows:
        chain(row.task.id, row.task.description).row = row
    for operation in history.operations:
        if operation.task is not None and not operation.foreign and operation.task in chains:
            chains[operation.task].operations.append(operation)
    selections.assign(history, chains)
    for origin, tasks in origins.items():
        if len(tasks) > 1:
            found.append(("duplicated", f"{origin} made {len(tasks)} tasks: {tasks}"))
    found += _refused_and_done(chains, by_number)
    return chains, found


def _refused_and_done(
    chains: dict[str, Chain], by_number: dict[int, Operation]
) -> Iterator[Finding]:
    """No refused write was done, and every task belongs to the user who created it."""
    for chain in chains.values():
        tasks = {task for _, task in chain.seen} | ({chain.row.task} if chain.row else set())
        titles = {int(task.title[1:]) for task in tasks if task.title[1:].isdigit()}
        makers = [by_number[number] for number in titles if number in by_number]
        if chain.create is not None:
            makers.append(chain.create)
        for maker in makers:
            if maker.outcome is Outcome.REFUSED:
                yield "unexplained", f"{named(maker)} was refused and done: {chain.task}"
            if {task.user_id for task in tasks} != {maker.user}:
                yield "foreign", f"{chain.task} is not {maker.user}'s, who made it"


def _lists(history: History, chains: dict[str, Chain]) -> Iterator[Finding]:
    """A list has each task that existed during the whole request, and none twice."""
    owned = defaultdict(list)
    for chain in chains.values():
        if chain.create is not None:
            owned[chain.create.user].append((chain.task, chain.first_seen, chain.first_delete))
    for operation in history.operations:
        if operation.kind != "list" or operation.acknowledged is None:
            continue
        attempt = operation.acknowledged
        shown = [task.id for task in attempt.tasks]
        if len(shown) != len(set(shown)):
            yield "duplicated", f"{named(operation)} showed a task twice"
        for task, first_seen, first_delete in owned[operation.user]:
            there = first_seen < attempt.sent_at and attempt.answered_at < first_delete
            if there and task not in shown:
                yield "lost", f"{named(operation)} did not show {task}"
