"""A distant database: the service and the usual tutorial. Only counts are asserted."""

import contextlib
import re
from collections.abc import Callable, Iterator

import pytest
from support.markdown import Row, table
from support.programs import require

from benchmarks import usage
from benchmarks.data import Data
from benchmarks.environment import environment
from benchmarks.latency import COUNTED, Lab, Samples
from benchmarks.load import CONNECTIONS
from benchmarks.network import Network, network, socket_of
from benchmarks.operations import OPERATIONS, Operations
from benchmarks.servers import SERVERS
from benchmarks.starting import Running, started
from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.key_server import KeyServer

SERVICE = next(server for server in SERVERS if server.kind == "service")
DELAY = re.compile(r"[0-9]+(\.[0-9]+)?")
TUTORIAL = next(server for server in SERVERS if server.source == "tutorial")


@pytest.fixture(scope="module")
def delays(pytestconfig: pytest.Config) -> list[float]:
    """The selected delays in seconds, and 0 for comparison."""
    asked = pytestconfig.getoption("bench_delays").split(",")
    if not all(DELAY.fullmatch(one) for one in asked) or not any(map(float, asked)):
        raise pytest.UsageError("--bench-delays: milliseconds by commas, one of them not 0")
    return sorted({0.0, *(float(one) / 1e3 for one in asked)})


@pytest.fixture(scope="module")
def far(cluster: Cluster) -> Iterator[Network]:
    with network(socket_of(cluster.url)) as between:
        yield between


@pytest.fixture(scope="module")
def lab(
    far: Network,
    cluster: Cluster,
    key_server: KeyServer,
    tokens: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lab]:
    """Both servers, on a separate database behind the proxy."""
    require("wrk", "uv")
    _, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url)
    data = Data(cluster, url)
    operations = Operations(data, tokens, tmp_path_factory.mktemp("requests"))
    variables = environment(far.url(url), key_server.url)
    with contextlib.ExitStack() as stack:
        running = []
        for server in (SERVICE, TUTORIAL):
            home = tmp_path_factory.mktemp("server") / "home"
            one = stack.enter_context(started(server, data, tokens, variables, home))
            assert isinstance(one, Running)
            running.append(one)
        yield Lab(far, running, operations, data)


def test_round_trips_of_a_request(lab: Lab, report: Callable[[str], None]) -> None:
    counts = [lab.counted(one, n) for one in lab.running for n in (1, CONNECTIONS)]
    lines = [
        (
            f"\nRound trips of a request, counted on the way to the database over {COUNTED} requests"
            f" one at a time and {COUNTED * CONNECTIONS} of which {CONNECTIONS} at a time. Those of"
            f" connecting anew are among them. A: {SERVICE.name}; B: {TUTORIAL.name}.\n"
        ),
        table(
            _head("1 at a time", f"{CONNECTIONS} at a time"),
            [(name, *(f"{count[name]:.2f}" for count in counts)) for name in OPERATIONS],
        ),
    ]
    report("\n".join(lines))
    assert counts[0] == dict.fromkeys(OPERATIONS, 1.0)
    assert round(min(counts[2].values())) >= 3


def test_latency_by_distance(
    delays: list[float], lab: Lab, pytestconfig: pytest.Config, report: Callable[[str], None]
) -> None:
    seconds: int = pytestconfig.getoption("bench_seconds")
    rounds: int = pytestconfig.getoption("bench_rounds")
    samples = lab.measure(delays, seconds=seconds, rounds=rounds)
    proxy = usage.of_tree(lab.network.pid).cpu / lab.network.trips()
    lines = [
        (
            f"\nMedians of {rounds} rounds, bursts of {seconds} s. Times are in ms. A: {SERVICE.name};"
            f" B: {TUTORIAL.name}. The delay is added to each round trip between server and database,"
            f" both directions together, by a proxy that takes {proxy * 1e6:.0f} µs of CPU for a trip"
            " and shares the cores with everything else.\n\nOne connection; beside each p50, its ratio"
            " to that at 0 ms and one trip.\n"
        ),
        table(_by_delay("p50", "ratio", "p99"), _unloaded(samples, delays)),
        f"\n{CONNECTIONS} connections.\n",
        table((*_by_delay("requests/s", "p50", "p99"), "A/B"), _loaded(samples, delays)),
        (
            "\nRound trips that a request waits for: by how many delays the p50 of one connection"
            " grows. What a server does after its answer is not among them.\n"
        ),
        table(_head("trips"), _trips(samples, delays)),
    ]
    report("\n".join(lines))
    assert not samples.errors()


def _unloaded(samples: Samples, delays: list[float]) -> Iterator[Row]:
    for operation in OPERATIONS:
        for delay in delays:
            row = [operation, f"{delay * 1e3:g}"]
            for server in (SERVICE.name, TUTORIAL.name):
                p50 = samples.p50(operation, server, delay, 1)
                ratio = p50 / (samples.p50(operation, server, 0.0, 1) + delay)
                row += [f"{p50 * 1e3:.2f}", f"{ratio:.2f}"]
                row.append(f"{samples.p99(operation, server, delay, 1) * 1e3:.1f}")
            yield tuple(row)


def _loaded(samples: Samples, delays: list[float]) -> Iterator[Row]:
    for operation in OPERATIONS:
        for delay in delays:
            row = [operation, f"{delay * 1e3:g}"]
            rates = [samples.rate(operation, one.name, delay) for one in (SERVICE, TUTORIAL)]
            for server, rate in zip((SERVICE.name, TUTORIAL.name), rates, strict=True):
                row.append(f"{rate:.0f}")
                row.append(f"{samples.p50(operation, server, delay, CONNECTIONS) * 1e3:.1f}")
                row.append(f"{samples.p99(operation, server, delay, CONNECTIONS) * 1e3:.1f}")
            yield (*row, f"{rates[0] / rates[1]:.1f}")


def _trips(samples: Samples, delays: list[float]) -> Iterator[Row]:
    for operation in OPERATIONS:
        trips = (samples.trips(operation, one.name, delays) for one in (SERVICE, TUTORIAL))
        yield (operation, *(f"{trip:.2f}" for trip in trips))


def _head(*figures: str) -> Row:
    return ("operation", *(f"{letter}: {figure}" for letter in "AB" for figure in figures))


def _by_delay(*figures: str) -> Row:
    operation, *others = _head(*figures)
    return (operation, "delay", *others)
