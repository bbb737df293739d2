"""The tables of samples; a figure too small to be measured has no ratio."""

import math

from benchmarks.lab import Sample, Samples
from benchmarks.load import Burst
from benchmarks.operations import OPERATIONS
from benchmarks.servers import SERVERS
from benchmarks.table import RATIO, tables

SERVICE = next(server for server in SERVERS if server.kind == "service")
LITESTAR = next(server for server in SERVERS if server.name == "Litestar, bare")
PGBENCH = next(server for server in SERVERS if server.protocol == "simple")
BURST = Burst(requests=1000, seconds=1.0, p50=0.01, p99=0.02, errors=0)


def sample(server_cpu: float, database_cpu: float) -> list[Sample]:
    return [Sample(BURST, server_cpu * 1e-6, database_cpu * 1e-6, 1e8)]


def measured(database_cpu: float) -> Samples:
    """The service, a peer, and pgbench, which sends no delete."""
    samples = {}
    for operation in OPERATIONS:
        samples[operation, SERVICE.name] = sample(500, 150)
        samples[operation, LITESTAR.name] = sample(1000, database_cpu)
        if operation in PGBENCH.operations:
            samples[operation, PGBENCH.name] = sample(math.nan, 100)
    return samples


def test_the_service_is_compared_with_each_server() -> None:
    lines = list(tables(measured(database_cpu=300), [SERVICE, LITESTAR, PGBENCH]))
    (told,) = {line for line in lines if PGBENCH.name in line and " to that of " in line}
    assert told.endswith(f"{LITESTAR.name}: 0.50 / 0.50; {PGBENCH.name}: - / 1.50.")
    assert lines[-2:] == [
        f"| {LITESTAR.name} (server) |{' 0.50 |' * 6} {LITESTAR.target} |",
        f"| {PGBENCH.name} (database) |{' 1.50 |' * 5}  | 1.25 |",
    ]


def test_without_peers_there_is_no_ratio() -> None:
    text = "\n".join(tables(measured(database_cpu=300), [SERVICE]))
    assert f"| {SERVICE.name} | 1000 | 10.0 | 20.0 | 500 (500-500) | 150 | 95 | 0 |" in text
    assert RATIO not in text
    assert "to that of" not in text


def test_no_ratio_to_an_unmeasurably_short_time() -> None:
    text = "\n".join(tables(measured(database_cpu=0), [SERVICE, LITESTAR]))
    assert f"{LITESTAR.name}: 0.50 / -." in text
