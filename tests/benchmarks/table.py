"""The samples as Markdown: one table for each operation, medians over the rounds."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from statistics import median

from support.markdown import table

from benchmarks.lab import Sample, Samples
from benchmarks.operations import OPERATIONS
from benchmarks.ratios import (
    database_cpu,
    measured_service,
    p50,
    p99,
    rate,
    ratio,
    resident,
    server_cpu,
)
from benchmarks.servers import Server

RATIO = "to the fastest"
HEAD = (
    "server",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "server CPU µs (least to most)",
    RATIO,
    "database CPU µs",
    RATIO,
    "resident MB",
    "errors",
)


def tables(samples: Samples, servers: Sequence[Server]) -> Iterator[str]:
    """Yield the lines of the tables.

    CPU is per request. The fastest is the peer with the least server CPU in that operation; both
    ratios are to its figures, and omitted without a peer. Below each table, the service is compared
    with each server; at the end, with its targets.
    """
    for operation in OPERATIONS:
        measured = {
            server: samples[operation, server.name]
            for server in servers
            if (operation, server.name) in samples
        }
        peers = [taken for server, taken in measured.items() if server.kind == "peer"]
        fastest = min(peers, key=server_cpu, default=None)
        yield f"\n### {operation}\n"
        yield table(
            tuple(cell for cell in HEAD if fastest or cell != RATIO),
            [(server.name, *_cells(taken, fastest)) for server, taken in measured.items()],
        )
        yield from _comparison(measured)
    yield from _targets(samples, servers)


def _comparison(measured: Mapping[Server, list[Sample]]) -> Iterator[str]:
    service = measured_service(list(measured))
    ratios = [
        f"{server.name}: {' / '.join(_ratios(measured[service], taken))}"
        for server, taken in measured.items()
        if server.kind == "peer" or server.protocol
    ]
    if ratios:
        told = "server CPU and database CPU as a ratio to that of"
        yield f"\n{service.name}, {told} {'; '.join(ratios)}."


def _ratios(taken: list[Sample], other: list[Sample]) -> Iterator[str]:
    for figure in (server_cpu, database_cpu):
        yield ratio(figure, taken, other) or "-"


def _targets(samples: Samples, servers: Sequence[Server]) -> Iterator[str]:
    """Yield the lines of a table: the service's CPU relative to each server with a target."""
    service = measured_service(servers)
    against = [server for server in servers if server.target]
    if not against:
        return
    yield f"\n### CPU of {service.name}, to that of\n"
    yield f"| | {' | '.join(OPERATIONS)} | at most |"
    yield f"|---|{'--:|' * len(OPERATIONS)}---|"
    for server in against:
        whose, figure = ("server", server_cpu)
        if server.kind == "limit":
            whose, figure = ("database", database_cpu)
        cells = (
            ratio(figure, samples[operation, service.name], samples.get((operation, server.name)))
            for operation in OPERATIONS
        )
        yield f"| {server.name} ({whose}) | {' | '.join(cells)} | {server.target} |"


def _cells(taken: list[Sample], fastest: list[Sample] | None) -> Iterator[str]:
    cpu = [sample.server_cpu * 1e6 for sample in taken]
    memory = resident(taken) / 2**20
    yield f"{rate(taken):.0f}"
    yield f"{p50(taken) * 1e3:.1f}"
    yield f"{p99(taken) * 1e3:.1f}"
    yield "" if isnan(cpu[0]) else f"{median(cpu):.0f} ({min(cpu):.0f}-{max(cpu):.0f})"
    if fastest:
        yield ratio(server_cpu, taken, fastest)
    yield f"{database_cpu(taken) * 1e6:.0f}"
    if fastest:
        yield ratio(database_cpu, taken, fastest)
    yield "" if isnan(memory) else f"{memory:.0f}"
    yield f"{sum(one.burst.errors for one in taken)}"
