"""Two processes of the service on one database, each with half of the connections."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load
from benchmarks.load import CONNECTIONS, Burst
from benchmarks.servers import Server
from benchmarks.starting import Running
from benchmarks.usage import Usage


@dataclass(frozen=True)
class Pair:
    """Both processes together."""

    server: Server
    halves: tuple[Running, Running]

    def usage(self) -> Usage:
        """Return their usage so far."""
        first, second = (half.usage() for half in self.halves)
        return Usage(first.cpu + second.cpu, first.memory + second.memory)

    def send(self, operation: str, requests: Path, seconds: int) -> Burst:
        """Send requests to both; the latencies are those of the slower one."""

        def burst(half: Running) -> Burst:
            return load.send(half.base, requests, seconds, CONNECTIONS // 2)

        with ThreadPoolExecutor(2) as senders:
            first, second = senders.map(burst, self.halves)
        return Burst(
            requests=first.requests + second.requests,
            seconds=max(first.seconds, second.seconds),
            p50=max(first.p50, second.p50),
            p99=max(first.p99, second.p99),
            errors=first.errors + second.errors,
        )
