"""The cost of an operation by table size. Figures are printed; only errors are asserted."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import psycopg2
import pytest
from support.markdown import Row, table
from support.plans import Messages
from support.programs import require

from benchmarks.filling import Filled
from benchmarks.progress import tell
from benchmarks.scale import FEWEST, PLANNED, Found, Subject, measure
from benchmarks.scale_operations import OPERATIONS, PLANNED_OPERATIONS
from benchmarks.serving import serving
from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.key_server import KeyServer
from tasks_backend.testing.signing import Signer

LIFE_OF_A_TOKEN = 86_400  # seconds, for the longest run
HEAD = (
    "a user of",
    "in a table of",
    "pages",
    "to the smallest",
    "inside PostgreSQL ms",
    "database CPU µs",
    "to the smallest",
    "p50 ms",
    "p99 ms",
    "errors",
)


@pytest.fixture(scope="module")
def filled(cluster: Cluster, sizes: list[int]) -> list[Filled]:
    """The tables, smallest first."""
    return [Filled(cluster, rows) for rows in sizes]


@pytest.fixture(scope="module")
def subjects(
    filled: list[Filled],
    key_server: KeyServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Subject]]:
    """The tables, with one service each."""
    require("wrk")
    with contextlib.ExitStack() as stack:
        made = []
        for one in filled:
            home = tmp_path_factory.mktemp("server")
            base = stack.enter_context(serving(one.url, key_server.url, home))
            connection = stack.enter_context(contextlib.closing(psycopg2.connect(one.url)))
            made.append(Subject(one, base, Messages(connection.cursor()), home))
        yield made


def test_buffers_of_lists_and_selections(
    filled: list[Filled], report: Callable[[str], None], tmp_path: Path
) -> None:
    """The service's messages by EXPLAIN (ANALYZE, BUFFERS), for the table of decision 0020."""
    rows: list[Row] = []
    for one in filled:
        with contextlib.closing(psycopg2.connect(one.url)) as connection:
            subject = Subject(one, "", Messages(connection.cursor()), tmp_path)
            for operation in PLANNED_OPERATIONS:
                for kind in one.kinds.values():
                    planned = subject.planned(operation, kind)
                    whose = f"{kind.tasks:,}" + (" (older)" if kind.name == "early" else "")
                    cost = f"{planned.buffers:,.0f}", f"{planned.took:.2f}"
                    rows.append((operation, f"{one.rows:,}", whose, *cost))
                    tell(" ".join(rows[-1]))
                connection.rollback()
                one.tidy()
    head = ("message", "in a table of", "a user of", "buffers", "ms")
    report(f"\n## Lists and selections\n\n{table(head, rows)}")


def test_cost_by_size_of_the_table(
    subjects: list[Subject],
    signer: Signer,
    report: Callable[[str], None],
    pytestconfig: pytest.Config,
) -> None:
    seconds: int = pytestconfig.getoption("bench_seconds")
    rounds: int = pytestconfig.getoption("bench_rounds")
    expiry = int(time.time()) + LIFE_OF_A_TOKEN
    people = {user for one in subjects for own in one.own.values() for user in own}
    tell(f"tokens for {len(people)} people")
    tokens = {user: signer.token(user, exp=expiry) for user in people}
    postmaster = subjects[0].filled.postmaster
    found = measure(subjects, tokens, postmaster, seconds=seconds, rounds=rounds)
    report("\n".join(_tables(subjects, found, seconds, rounds)))
    failed = {
        key: n for key, one in found.items() if (n := sum(s.burst.errors for s in one.samples))
    }
    assert not failed


def _tables(
    subjects: list[Subject], found: dict[tuple[str, str, int], Found], seconds: int, rounds: int
) -> Iterator[str]:
    server = subjects[0].messages.cursor
    server.execute("SELECT current_setting('server_version'), current_setting('shared_buffers')")
    ((version, memory),) = server.fetchall()
    yield (
        f"\n## The size of the table\n\nPages of tables and indexes, found in memory or not, and the"
        f" time of planning and execution: medians of up to {PLANNED} messages ({FEWEST} at least)."
        f" CPU of PostgreSQL and times at the client: medians of {rounds} bursts of {seconds} s, one"
        " connection, one worker. The smallest is the smallest table that has such users. Caches are"
        f" warm: the same tasks and lists are asked for again and again. PostgreSQL {version},"
        f" shared_buffers {memory}, {os.cpu_count()} cores for everything."
    )
    kinds = {name: kind for one in subjects for name, kind in one.filled.kinds.items()}
    for operation in OPERATIONS:
        rows: list[Row] = []
        for name, kind in kinds.items():
            of_kind = [found[key] for key in found if key[:2] == (operation, name)]
            sizes = [rows for what, user, rows in found if (what, user) == (operation, name)]
            who = f"{kind.tasks:,} tasks" + (", all older than others'" if name == "early" else "")
            rows += (
                _row(who, size, one, of_kind[0]) for size, one in zip(sizes, of_kind, strict=True)
            )
        yield f"\n### {operation}\n\n{table(HEAD, rows)}"


def _row(who: str, size: int, one: Found, smallest: Found) -> Row:
    bursts = [sample.burst for sample in one.samples]
    return (
        who,
        f"{size:,}",
        f"{one.planned.blocks:.0f}",
        f"{one.planned.blocks / smallest.planned.blocks:.2f}",
        f"{one.planned.took:.3f}",
        f"{_cpu(one) * 1e6:.0f}",
        f"{_cpu(one) / _cpu(smallest):.2f}",
        f"{median(burst.p50 for burst in bursts) * 1e3:.2f}",
        f"{median(burst.p99 for burst in bursts) * 1e3:.2f}",
        f"{sum(burst.errors for burst in bursts)}",
    )


def _cpu(one: Found) -> float:
    return median(sample.database_cpu for sample in one.samples)
