"""The effect of the distance to the database: each server at each delay."""

import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, product
from statistics import linear_regression, median
from typing import Any

import httpx2

from benchmarks import load
from benchmarks.data import Data
from benchmarks.load import CONNECTIONS, Burst
from benchmarks.network import Network
from benchmarks.operations import CHANGING, OPERATIONS, Operations
from benchmarks.progress import tell
from benchmarks.starting import Running

COUNTED = 20  # requests of each operation for the count of trips
WARM = 10
SETTLED = 0.2  # seconds without a trip: work after the answer is finished too


@dataclass(frozen=True)
class Samples:
    """By operation, name of the server, delay in seconds and number of connections.

    Figures are medians over the rounds.
    """

    taken: dict[tuple[str, str, float, int], list[Burst]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def p50(self, operation: str, server: str, delay: float, connections: int) -> float:
        return self._median(lambda burst: burst.p50, operation, server, delay, connections)

    def p99(self, operation: str, server: str, delay: float, connections: int) -> float:
        return self._median(lambda burst: burst.p99, operation, server, delay, connections)

    def rate(self, operation: str, server: str, delay: float) -> float:
        """Return the requests per second of all connections together."""
        return self._median(
            lambda burst: burst.requests / burst.seconds, operation, server, delay, CONNECTIONS
        )

    def trips(self, operation: str, server: str, delays: list[float]) -> float:
        """Return the slope of one connection's p50 over the delay (linear fit): its round trips."""
        p50s = [self.p50(operation, server, delay, 1) for delay in delays]
        return float(linear_regression(delays, p50s).slope)

    def errors(self) -> dict[tuple[str, str, float, int], int]:
        """Return the number of missing or non-2xx answers, and where they occurred."""
        found = {what: sum(burst.errors for burst in taken) for what, taken in self.taken.items()}
        return {what: count for what, count in found.items() if count}

    def _median(self, figure: Callable[[Burst], float], *what: Any) -> float:
        return median(map(figure, self.taken[what]))


@dataclass(frozen=True)
class Lab:
    """Servers with their database behind the proxy."""

    network: Network
    running: list[Running]
    operations: Operations
    data: Data

    def measure(self, delays: list[float], *, seconds: int, rounds: int) -> Samples:
        """Send each server a burst of each operation at each delay, alone and loaded, in turn.

        A first round, of one second each and without a delay, warms up and is not counted.
        """
        samples = Samples()
        for number in range(rounds + 1):
            for operation, delay, one, connections in product(
                OPERATIONS,
                delays if number else [0.0],
                self.running if number % 2 else reversed(self.running),
                (1, CONNECTIONS) if number else (CONNECTIONS,),
            ):
                length = seconds if number else 1
                burst = self._burst(one, operation, delay, connections, length)
                if number:
                    samples.taken[operation, one.server.name, delay, connections].append(burst)
                tell(
                    f"{f'round {number} of {rounds}' if number else 'warming up'}: {operation},"
                    f" {delay * 1e3:g} ms, {one.server.name}, {connections} at a time:"
                    f" p50 {burst.p50 * 1e3:.1f} ms, p99 {burst.p99 * 1e3:.1f} ms,"
                    f" {burst.requests / burst.seconds:.0f}/s, {burst.errors} errors"
                )
        return samples

    def _burst(
        self, one: Running, operation: str, delay: float, connections: int, seconds: int
    ) -> Burst:
        requests = self.operations.prepare(operation, one.server.schema, seconds)
        self.network.delay(delay)
        burst = load.send(one.base, requests, seconds, connections)
        self.network.delay(0)
        if operation in CHANGING:
            self.data.tidy(one.server.schema)
        assert burst.requests, f"{one.server.name} answered nothing"
        return burst

    def counted(self, one: Running, at_a_time: int) -> dict[str, float]:
        """Return the round trips per request of each operation, counted by the proxy.
        Some requests before open the connections.
        """
        trips = {}
        with (
            httpx2.Client(base_url=one.base, timeout=30) as client,
            ThreadPoolExecutor(at_a_time) as senders,
        ):
            for operation in OPERATIONS:
                path = self.operations.prepare(operation, one.server.schema, 1)
                requests = iter(load.read(path))
                for _ in senders.map(partial(_ask, client), islice(requests, WARM * at_a_time)):
                    pass
                before, count = self._settled(), COUNTED * at_a_time
                for _ in senders.map(partial(_ask, client), islice(requests, count)):
                    pass
                trips[operation] = (self._settled() - before) / count
                self.data.tidy(one.server.schema)
        return trips

    def _settled(self) -> int:
        so_far = -1
        while so_far != (so_far := self.network.trips()):
            time.sleep(SETTLED)
        return so_far


def _ask(client: httpx2.Client, request: load.Request) -> None:
    headers = {"Authorization": f"Bearer {request.token}"}
    if request.body:
        headers["Content-Type"] = "application/json"
    content = request.body.encode() or None
    answer = client.request(request.method, request.path, headers=headers, content=content)
    assert answer.is_success, answer.text
