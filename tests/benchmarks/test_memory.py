"""The memory of a worker at first and after many requests. It is deterministic, so asserted."""

from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path

import pytest
from support.markdown import table
from support.programs import require

from benchmarks import load, resident
from benchmarks.data import SERVICE, Data
from benchmarks.environment import environment
from benchmarks.load import Request
from benchmarks.operations import OPERATIONS, TASKS, Operations
from benchmarks.progress import tell
from benchmarks.resident import Memory
from benchmarks.worker import first_answer, starting
from tasks_backend.testing.key_server import KeyServer

FIRST = 1000  # requests, after which every code path was used
STEPS = 5  # bursts for all requests
SECONDS = 2  # of a burst
MOST = 10_000  # requests answered per second, over all operations
MOST_MEMORY = 110 * 2**20
MOST_GROWTH = 5 * 2**20  # from the end of the first step to that of the last


def test_memory_does_not_grow(
    database: str,
    key_server: KeyServer,
    tokens: dict[str, str],
    data: Data,
    operations: Operations,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    report: Callable[[str], None],
) -> None:
    require("wrk")
    asked: int = pytestconfig.getoption("bench_requests")
    series: list[tuple[int, Memory]] = []
    sent = errors = 0
    path = tmp_path / "mix.requests"
    with starting(tmp_path, environment(database, key_server.url)) as worker:
        first_answer(worker)
        series.append((0, resident.of_process(worker.pid)))
        for mark in (FIRST, *(asked * step // STEPS for step in range(1, STEPS + 1))):
            while sent < mark:
                seconds = SECONDS if sent else 1
                load.write(_mixed(operations, data, tokens, MOST * seconds), path)
                burst = load.send(f"http://127.0.0.1:{worker.port}", path, seconds)
                data.tidy(SERVICE)
                sent, errors = sent + burst.requests, errors + burst.errors
            series.append((sent, resident.of_process(worker.pid)))
            tell(f"after {sent:,} of {asked:,} requests: {series[-1][1]}")
    lines = [
        "\nMemory of one worker in MB, after so many requests of all six operations in turn.\n",
        table(
            ("requests", "resident", "proportional", "private"),
            [(f"{count:,}", *_megabytes(memory)) for count, memory in series],
        ),
    ]
    report("\n".join(lines))
    assert not errors
    assert max(memory.resident for _, memory in series) <= MOST_MEMORY
    (_, early), (_, late) = series[2], series[-1]
    assert late.resident - early.resident < MOST_GROWTH


def _mixed(
    operations: Operations, data: Data, tokens: Mapping[str, str], count: int
) -> Iterator[Request]:
    """Yield this number of requests, each operation in turn; each task is deleted once."""
    others = [
        cycle(load.read(operations.prepare(name, SERVICE, 1)))
        for name in OPERATIONS
        if name != "delete"
    ]
    for task in data.make(SERVICE, count // len(OPERATIONS)):
        yield from map(next, others)
        yield Request("DELETE", f"{TASKS}/{task.id}", tokens[task.owner])


def _megabytes(memory: Memory) -> tuple[str, ...]:
    sizes = (memory.resident, memory.proportional, memory.private)
    return tuple(f"{size / 2**20:.1f}" for size in sizes)
