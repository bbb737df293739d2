"""Servers that run in parallel, with one burst of requests at a time to one of them."""

from collections import defaultdict
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Protocol

from benchmarks import usage
from benchmarks.data import Data
from benchmarks.load import Burst
from benchmarks.operations import CHANGING, OPERATIONS, Operations
from benchmarks.progress import tell
from benchmarks.servers import Server
from benchmarks.usage import Usage


class Subject(Protocol):
    """A server that receives an operation's requests and reports its usage so far."""

    @property
    def server(self) -> Server: ...

    def usage(self) -> Usage: ...

    def send(self, operation: str, requests: Path, seconds: int) -> Burst: ...


@dataclass(frozen=True)
class Sample:
    """A burst and its cost: CPU in seconds per request, resident memory in bytes."""

    burst: Burst
    server_cpu: float
    database_cpu: float
    memory: float

    def __str__(self) -> str:
        """A line of progress."""
        server = "" if isnan(self.server_cpu) else f" server {self.server_cpu * 1e6:.0f} µs,"
        return (
            f"{self.burst.requests / self.burst.seconds:.0f}/s,{server}"
            f" database {self.database_cpu * 1e6:.0f} µs, {self.burst.errors} errors"
        )


WARM_UP = 4
"""Seconds of each first burst: a server with a compiler, such as Node.js, is slower before."""

Samples = dict[tuple[str, str], list[Sample]]
"""By operation and name of the server."""


def measure(
    running: list[Subject], operations: Operations, data: Data, *, seconds: int, rounds: int
) -> Samples:
    """Send each server a burst of each operation, in several rounds.

    The servers take turns within an operation, starting with another one in each round, so that
    noise of the machine affects all of them. A first round warms up and is not counted.
    """
    postmaster = data.postmaster()
    samples: Samples = defaultdict(list)
    for number in range(rounds + 1):
        first = number % len(running)
        length = seconds if number else WARM_UP
        for operation in OPERATIONS:
            for one in running[first:] + running[:first]:
                if operation not in one.server.operations:
                    continue
                taken = sample(one, operation, operations, data, postmaster, length)
                if number:
                    samples[operation, one.server.name].append(taken)
                when = f"round {number} of {rounds}" if number else "warming up"
                tell(f"{when}: {operation}, {one.server.name}: {taken}")
    return samples


def sample(
    one: Subject, operation: str, operations: Operations, data: Data, postmaster: int, seconds: int
) -> Sample:
    """Send a burst of an operation, and remove the rows that it created."""
    schema = one.server.schema
    requests = operations.prepare(operation, schema, seconds)
    before, database_before = one.usage(), usage.of_tree(postmaster)
    burst = one.send(operation, requests, seconds)
    after, database_after = one.usage(), usage.of_tree(postmaster)
    if operation in CHANGING:
        data.tidy(schema)
    assert burst.requests, f"{one.server.name} answered nothing"
    return Sample(
        burst=burst,
        server_cpu=(after.cpu - before.cpu) / burst.requests,
        database_cpu=(database_after.cpu - database_before.cpu) / burst.requests,
        memory=after.memory,
    )
