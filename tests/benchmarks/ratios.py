"""The figures of a server's bursts, as medians over the rounds, and the ratios of two servers."""

from collections.abc import Callable, Sequence
from math import isnan
from statistics import median

from benchmarks.lab import Sample
from benchmarks.servers import Server

Figure = Callable[[Sequence[Sample]], float]


def server_cpu(taken: Sequence[Sample]) -> float:
    """Return the median in seconds per request; NaN for pgbench, which is not a server."""
    return median(sample.server_cpu for sample in taken)


def database_cpu(taken: Sequence[Sample]) -> float:
    """Return the median in seconds per request."""
    return median(sample.database_cpu for sample in taken)


def rate(taken: Sequence[Sample]) -> float:
    """Return the median of the requests per second."""
    return median(sample.burst.requests / sample.burst.seconds for sample in taken)


def p50(taken: Sequence[Sample]) -> float:
    """Return the median of the bursts' medians, in seconds."""
    return median(sample.burst.p50 for sample in taken)


def p99(taken: Sequence[Sample]) -> float:
    """Return the median of the bursts' 99th percentiles, in seconds."""
    return median(sample.burst.p99 for sample in taken)


def resident(taken: Sequence[Sample]) -> float:
    """Return the median of the resident memory, in bytes; NaN for pgbench."""
    return median(sample.memory for sample in taken)


def ratio(figure: Figure, taken: Sequence[Sample], other: Sequence[Sample] | None) -> str:
    """Return the ratio of a figure of two groups of samples; nothing if one has none.

    A short burst on a busy machine may take less than one tick of the CPU clock.
    """
    if not taken or not other or isnan(figure(taken)) or not figure(other) > 0:
        return ""
    return f"{figure(taken) / figure(other):.2f}"


def measured_service(servers: Sequence[Server]) -> Server:
    """Return the service that targets refer to: the first one, with one worker."""
    return next(server for server in servers if server.kind == "service")
