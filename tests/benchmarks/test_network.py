"""The proxy of the latency tests: its delay is right, it loses nothing, and it counts trips."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.echo import Echo, connected, times
from benchmarks.network import Network, network, socket_of
from benchmarks.progress import tell
from tasks_backend.testing.databases import Cluster

PINGS = 100


@pytest.fixture(scope="module")
def far(cluster: Cluster) -> Iterator[Network]:
    """An echo server behind the proxy, in a directory with a short name for the socket."""
    path = Path(socket_of(cluster.url)).with_name("echo")
    with Echo(path), network(str(path)) as between:
        yield between
    path.unlink()


@pytest.mark.parametrize("delay", [0, 0.002, 0.005, 0.02])
def test_a_round_trip_takes_longer_by_the_delay(far: Network, delay: float) -> None:
    far.delay(delay)
    taken = times(far, PINGS)
    tell(
        f"a delay of {delay * 1e3:g} ms: an echo takes {taken[PINGS // 2] * 1e3:.2f} ms (p50),"
        f" {taken[int(PINGS * 0.99)] * 1e3:.2f} ms (p99)"
    )
    assert taken[0] >= delay


def test_concurrent_data_is_returned_complete_and_in_order(far: Network) -> None:
    far.delay(0.002)

    def returned(seed: int) -> bool:
        sent = random.Random(seed).randbytes(200_000)
        received = b""
        with connected(far) as client:
            for start in range(0, len(sent), 10_000):
                client.sendall(sent[start : start + 10_000])
            while len(received) < len(sent):
                received += client.recv(65536)
        return received == sent

    with ThreadPoolExecutor(30) as many:
        assert all(many.map(returned, range(30)))


def test_a_round_trip_is_counted_once_for_any_amount_of_data(far: Network) -> None:
    far.delay(2)  # so that no answer comes between the two halves
    before = far.trips()
    with connected(far) as client:
        for half in (b"first", b"second"):
            client.sendall(half)
            time.sleep(0.1)
        received = 0
        while received < len(b"firstsecond"):
            received += len(client.recv(100))
    assert far.trips() == before + 1
    far.delay(0)
    times(far, 3)
    assert far.trips() == before + 4
