"""The samples as Markdown: one table for each operation, medians over the rounds."""

from collections.abc import Callable, Iterator, Sequence
from math import isnan
from statistics import median

from benchmarks.lab import Sample, Samples
from benchmarks.operations import OPERATIONS
from benchmarks.servers import Server

HEAD = (
    *(
        "server",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "server CPU µs (least to most)",
        "to the fastest",
    ),
    *("database CPU µs", "to the fastest", "resident MB", "errors"),
)


def tables(samples: Samples, servers: Sequence[Server]) -> Iterator[str]:
    """Give the lines of the tables.

    CPU is per request. The fastest is the peer with the least CPU of its own in that operation;
    both ratios are to its figures.
    """
    for operation in OPERATIONS:
        measured = {
            server: samples[operation, server.name]
            for server in servers
            if (operation, server.name) in samples
        }
        peers = [taken for server, taken in measured.items() if server.kind == "peer"]
        fastest = min(peers, key=_server_cpu, default=None)
        yield f"\n### {operation}\n"
        yield f"| {' | '.join(HEAD)} |"
        yield f"|---|{'--:|' * (len(HEAD) - 1)}"
        for server, taken in measured.items():
            yield f"| {server.name} | {' | '.join(_cells(taken, fastest))} |"


def _cells(taken: list[Sample], fastest: list[Sample] | None) -> Iterator[str]:
    cpu = [sample.server_cpu * 1e6 for sample in taken]
    memory = _median(taken, lambda one: one.memory) / 2**20
    yield f"{_median(taken, lambda one: one.burst.requests / one.burst.seconds):.0f}"
    yield f"{_median(taken, lambda one: one.burst.p50) * 1e3:.1f}"
    yield f"{_median(taken, lambda one: one.burst.p99) * 1e3:.1f}"
    yield "" if isnan(cpu[0]) else f"{median(cpu):.0f} ({min(cpu):.0f}-{max(cpu):.0f})"
    yield _ratio(_server_cpu, taken, fastest)
    yield f"{_database_cpu(taken) * 1e6:.0f}"
    yield _ratio(_database_cpu, taken, fastest)
    yield "" if isnan(memory) else f"{memory:.0f}"
    yield f"{sum(one.burst.errors for one in taken)}"


def _median(taken: list[Sample], figure: Callable[[Sample], float]) -> float:
    return median(map(figure, taken))


def _server_cpu(taken: list[Sample]) -> float:
    return _median(taken, lambda one: one.server_cpu)


def _database_cpu(taken: list[Sample]) -> float:
    return _median(taken, lambda one: one.database_cpu)


def _ratio(
    figure: Callable[[list[Sample]], float], taken: list[Sample], fastest: list[Sample] | None
) -> str:
    if not fastest or isnan(figure(taken)):
        return ""
    return f"{figure(taken) / figure(fastest):.2f}"
