"""More workers and more processes on one database. The figures are only printed."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from psycopg2.extensions import make_dsn
from support.markdown import Row, table
from support.programs import require

from benchmarks.data import Data
from benchmarks.environment import environment
from benchmarks.fleet import Fleet
from benchmarks.lab import Sample, Subject, measure
from benchmarks.load import CONNECTIONS
from benchmarks.operations import Operations
from benchmarks.ratios import database_cpu, p50, p99, rate, resident, server_cpu
from benchmarks.servers import SERVERS
from benchmarks.starting import Running, started
from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.key_server import KeyServer

ONE = next(server for server in SERVERS if server.kind == "service")
MEASURED = ("get", "list", "create")
WORKERS = (2, 3, 4)
PROCESSES = (1, 2, 4, 8)
HEAD = (
    "",
    "requests/s",
    "to 1 process",
    "p50 ms",
    "p99 ms",
    "server CPU µs",
    "database CPU µs",
    "cores in use",
    "connections to the database",
    "resident MB",
    "errors",
)


@pytest.fixture(scope="module")
def services(
    data: Data,
    database: str,
    key_server: KeyServer,
    tokens: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Subject]]:
    """All of them in parallel; their connections have different application names."""
    require("wrk")
    with contextlib.ExitStack() as stack:

        def start(name: str, *arguments: str) -> Running:
            server = replace(
                ONE, name=name, command=(*ONE.command, *arguments), operations=MEASURED
            )
            variables = environment(str(make_dsn(database, application_name=name)), key_server.url)
            home = tmp_path_factory.mktemp("server") / "home"
            one = stack.enter_context(started(server, data, tokens, variables, home))
            assert isinstance(one, Running)
            return one

        workers = [start(f"{count} workers", "--workers", str(count)) for count in WORKERS]
        members = [start(f"process {number}") for number in range(1, max(PROCESSES) + 1)]
        fleets = [
            Fleet(replace(members[0].server, name=_processes(count)), tuple(members[:count]))
            for count in PROCESSES
        ]
        yield [*fleets, *workers]


def _processes(count: int) -> str:
    return f"{count} process{'es' * (count > 1)}"


def test_workers_and_processes(
    services: list[Subject],
    operations: Operations,
    data: Data,
    cluster: Cluster,
    pytestconfig: pytest.Config,
    report: Callable[[str], None],
) -> None:
    seconds: int = pytestconfig.getoption("bench_seconds")
    rounds: int = pytestconfig.getoption("bench_rounds")
    samples = measure(services, operations, data, seconds=seconds, rounds=rounds)
    connections = _connections(cluster)
    lines = [
        (
            f"\nMedians of {rounds} rounds, bursts of {seconds} s, {CONNECTIONS} connections of wrk"
            f" (several processes share them; the latencies are those of the slowest). The load"
            f" generator, the database and the service share {os.cpu_count()} cores, so more workers"
            " have little to gain here: look at what they cost. CPU is per request; the cores in use"
            " are the service's and the database's, the load generator has the rest; connections are"
            " those open at the end; memory is the sum over the processes, the supervisor of several"
            " workers too, with what they share in each."
        )
    ]
    for operation in MEASURED:
        by_name = {one.server.name: samples[operation, one.server.name] for one in services}
        single = rate(by_name[_processes(1)])
        rows = [_row(name, taken, single, connections[name]) for name, taken in by_name.items()]
        lines += [f"\n### {operation}\n", table(HEAD, rows)]
    report("\n".join(lines))
    assert not sum(sample.burst.errors for taken in samples.values() for sample in taken)


def _row(name: str, taken: list[Sample], single: float, connections: int) -> Row:
    return (
        name,
        f"{rate(taken):.0f}",
        f"{rate(taken) / single:.2f}",
        f"{p50(taken) * 1e3:.1f}",
        f"{p99(taken) * 1e3:.1f}",
        f"{server_cpu(taken) * 1e6:.0f}",
        f"{database_cpu(taken) * 1e6:.0f}",
        f"{rate(taken) * (server_cpu(taken) + database_cpu(taken)):.2f}",
        str(connections),
        f"{resident(taken) / 2**20:.0f}",
        str(sum(one.burst.errors for one in taken)),
    )


def _connections(cluster: Cluster) -> dict[str, int]:
    """Return the number of open connections by the name of a row."""
    with cluster.cursor() as cursor:
        cursor.execute("SELECT application_name, count(*) FROM pg_stat_activity GROUP BY 1")
        found: dict[str, int] = dict(cursor.fetchall())
    fleets = {
        _processes(count): sum(found[f"process {number}"] for number in range(1, count + 1))
        for count in PROCESSES
    }
    return found | fleets
