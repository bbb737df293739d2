"""The start time of the service, and the cost of its imports. The figures are printed."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import pytest
from support.markdown import table

from benchmarks import imports
from benchmarks.environment import environment
from benchmarks.operations import TASKS
from benchmarks.progress import tell
from benchmarks.worker import Passed, first_answer, starting
from tasks_backend.testing.key_server import KeyServer

STARTS = 5
DEAREST = 10  # distributions in the table


@pytest.fixture
def variables(database: str, key_server: KeyServer) -> dict[str, str]:
    return environment(database, key_server.url)


def test_start(
    variables: Mapping[str, str],
    tokens: dict[str, str],
    tmp_path: Path,
    report: Callable[[str], None],
) -> None:
    first: list[Passed] = []
    first_tasks: list[Passed] = []
    token = next(iter(tokens.values()))
    for number in range(STARTS + 1):  # the first one reads files that the others find in the cache
        with starting(tmp_path, variables) as worker:
            first.append(first_answer(worker))
            assert worker.status(TASKS, token) == 200
            first_tasks.append(worker.since())
        tell(f"start {number}: {first[-1].wall:.2f} s, CPU {first[-1].cpu:.2f} s")
    costs, total = _imports(tmp_path, variables)
    dearest = sorted(costs, key=costs.__getitem__, reverse=True)[:DEAREST]
    lines = [
        (
            f"\nFrom the start of the process, medians of {STARTS}. The first list of tasks comes right"
            " after the first answer (/livez): it fetches the keys and connects to the database.\n"
        ),
        table(
            ("until", "seconds", "CPU seconds"),
            [_passed("the first answer", first[1:]), _passed("the first tasks", first_tasks[1:])],
        ),
        (
            f"\nImports until the first answer: {total * 1e3:.0f} ms, measuring included; of it, by"
            " distribution, each module's own time alone:\n"
        ),
        table(
            ("distribution", "ms", "share"),
            [(name, f"{costs[name] * 1e3:.0f}", f"{costs[name] / total:.0%}") for name in dearest],
        ),
    ]
    report("\n".join(lines))
    assert costs["SQLAlchemy"] > 0  # otherwise Python's output was misread


def _passed(what: str, passed: list[Passed]) -> tuple[str, str, str]:
    wall, cpu = (median(one.wall for one in passed), median(one.cpu for one in passed))
    return what, f"{wall:.2f}", f"{cpu:.2f}"


def _imports(home: Path, variables: Mapping[str, str]) -> tuple[dict[str, float], float]:
    """Return the import time of each distribution (medians over starts), and their sum."""
    taken = defaultdict(list)
    totals = []
    for _ in range(STARTS):
        with starting(home, variables, "-X", "importtime") as worker:
            first_answer(worker)
        costs = imports.by_distribution(worker.log.read_text())
        totals.append(sum(costs.values()))
        for name, seconds in costs.items():
            taken[name].append(seconds)
    return {name: median(seconds) for name, seconds in taken.items()}, median(totals)
