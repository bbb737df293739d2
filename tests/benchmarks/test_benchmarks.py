"""The cost of each operation, compared with peers. Figures are printed; no time is asserted."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version

import pytest

from benchmarks.data import PEOPLE, TASKS, Data
from benchmarks.lab import Subject, measure
from benchmarks.load import CONNECTIONS
from benchmarks.operations import Operations
from benchmarks.table import tables


def test_cost_of_each_operation(
    side_by_side: list[Subject],
    operations: Operations,
    data: Data,
    pytestconfig: pytest.Config,
    report: Callable[[str], None],
) -> None:
    seconds: int = pytestconfig.getoption("bench_seconds")
    rounds: int = pytestconfig.getoption("bench_rounds")
    samples = measure(side_by_side, operations, data, seconds=seconds, rounds=rounds)
    servers = [one.server for one in side_by_side]
    report("\n".join([*_circumstances(data, seconds, rounds), *tables(samples, servers), ""]))
    failed = {
        what: n for what, taken in samples.items() if (n := sum(s.burst.errors for s in taken))
    }
    assert not failed


def _circumstances(data: Data, seconds: int, rounds: int) -> Iterator[str]:
    yield (
        f"\nMedians of {rounds} rounds, bursts of {seconds} s, {CONNECTIONS} connections of wrk;"
        f" {TASKS:,} tasks of {PEOPLE} people; everything on one machine with {os.cpu_count()} cores"
        f" ({platform.system()} {platform.machine()}). Up to {CONNECTIONS} requests that a burst's"
        " end cuts off are in the CPU and not counted, which adds a little to the slowest servers."
    )
    packages = ("fastapi", "uvicorn", "uvloop", "httptools", "psycopg2-binary", "PyJWT")
    yield (
        f"\nPostgreSQL {data.setting('server_version')} (fsync {data.setting('fsync')},"
        f" synchronous_commit {data.setting('synchronous_commit')}),"
        f" Python {sys.version.split()[0]}, Node.js {_node()},"
        f" {', '.join(f'{name} {version(name)}' for name in packages)}."
    )


def _node() -> str:
    try:
        return subprocess.check_output(["node", "--version"], text=True, timeout=30).strip()
    except FileNotFoundError:
        return "not installed"
