"""The operations of each kind of user, on tables of several sizes in parallel."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from support.plans import Messages

from benchmarks import load, usage
from benchmarks.data import Task
from benchmarks.filling import Filled
from benchmarks.kinds import Kind
from benchmarks.lab import Sample
from benchmarks.operations import MOST_A_SECOND
from benchmarks.progress import tell
from benchmarks.scale_operations import OPERATIONS, deletions, messages, requests
from benchmarks.usage import Usage

USERS = 40  # of each kind, at most: few enough to stay in PostgreSQL's memory
EACH = 10  # tasks of each in the requests
PLANNED = 200  # messages whose plans are measured
PLANNING_TIME = 5  # seconds for them, at most
FEWEST = 5
SETTLING_TIME = 20  # seconds at most
SETTLED_FOR = 0.2


@dataclass(frozen=True)
class Planned:
    """Medians over the messages of an operation, inside PostgreSQL: pages by its statistics,
    buffers by EXPLAIN, and milliseconds.
    """

    blocks: float
    buffers: float
    took: float
    messages: int


@dataclass
class Subject:
    """A table of some size, and a separate service on it."""

    filled: Filled
    base: str
    messages: Messages
    directory: Path
    own: dict[str, dict[str, list[Task]]] = field(init=False)

    def __post_init__(self) -> None:
        self.own = {
            name: self.filled.sample(kind, USERS, EACH) for name, kind in self.filled.kinds.items()
        }

    def planned(self, operation: str, kind: Kind) -> Planned:
        """Send this operation's messages after a warm-up round; each is rolled back."""
        sent = list(messages(operation, self.own[kind.name]))
        for user, statement, values in sent[:USERS]:
            self.messages.plans(statement, user, **values)
        blocks, buffers, took = [], [], []
        give_up = time.monotonic() + PLANNING_TIME
        for user, statement, values in islice(cycle(sent), PLANNED):
            plans = self.messages.plans(statement, user, **values)
            took.append(sum(plan.planning + plan.execution for plan in plans))
            buffers.append(sum(plan.buffers for plan in plans))
            blocks.append(self.messages.counts(statement, user, **values).blocks)
            self.messages.cursor.connection.rollback()
            if time.monotonic() > give_up and len(took) >= FEWEST:
                break
        return Planned(median(blocks), median(buffers), median(took), len(took))

    def burst(
        self, operation: str, kind: Kind, tokens: Mapping[str, str], postmaster: int, seconds: int
    ) -> Sample:
        """Send requests over one connection. The CPU is PostgreSQL's, with its background work."""
        path = self.directory / "requests"
        own = self.own[kind.name]
        if operation == "delete":
            made = self.filled.make(list(own), MOST_A_SECOND // 4 * seconds)
            load.write(deletions(made, tokens), path)
        else:
            load.write(requests(operation, own, tokens), path)
        before = _settled(postmaster)
        burst = load.send(self.base, path, seconds, connections=1)
        after = usage.of_tree(postmaster)
        assert burst.requests, f"no answer: {operation}"
        return Sample(burst, float("nan"), (after.cpu - before.cpu) / burst.requests, after.memory)


def _settled(postmaster: int) -> Usage:
    """Wait until PostgreSQL is idle; for example work after a client's answer continues."""
    give_up = time.monotonic() + SETTLING_TIME
    used = usage.of_tree(postmaster)
    while time.monotonic() < give_up:
        time.sleep(SETTLED_FOR)
        before, used = used, usage.of_tree(postmaster)
        if used.cpu - before.cpu < SETTLED_FOR / 10:
            break
    return used


@dataclass
class Found:
    """The results of one operation of one kind of user on a table of one size."""

    planned: Planned
    samples: list[Sample] = field(default_factory=list)


def measure(
    subjects: list[Subject],
    tokens: Mapping[str, str],
    postmaster: int,
    *,
    seconds: int,
    rounds: int,
) -> dict[tuple[str, str, int], Found]:
    """Send each table a burst of each operation of each kind of user, in several rounds.

    The tables take turns within an operation. A first round warms up and is not counted. Returns
    the results by operation, kind of user and size of the table.
    """
    found: dict[tuple[str, str, int], Found] = {}
    all_kinds = list(max(subjects, key=lambda one: one.filled.rows).filled.kinds)
    for number in range(rounds + 1):
        for name in all_kinds:
            for operation in OPERATIONS:
                for subject in subjects:
                    if name not in subject.filled.kinds:
                        continue
                    kind = subject.filled.kinds[name]
                    key = (operation, name, subject.filled.rows)
                    if not number:
                        found[key] = Found(subject.planned(operation, kind))
                    length = seconds if number else 1
                    sample = subject.burst(operation, kind, tokens, postmaster, length)
                    if number:
                        found[key].samples.append(sample)
                    when = f"round {number} of {rounds}" if number else "warming up"
                    tell(f"{when}: {subject.filled.rows:,} tasks, {name}, {operation}: {sample}")
            for subject in subjects:
                subject.filled.tidy()
    return found
