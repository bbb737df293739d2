"""Several processes of the service on one database; they share the client's connections evenly."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load
from benchmarks.load import CONNECTIONS, Burst
from benchmarks.servers import Server
from benchmarks.starting import Running
from benchmarks.usage import Usage


@dataclass(frozen=True)
class Fleet:
    """All of them together."""

    server: Server
    members: tuple[Running, ...]

    def usage(self) -> Usage:
        """Return their usage so far."""
        each = [member.usage() for member in self.members]
        return Usage(sum(one.cpu for one in each), sum(one.memory for one in each))

    def send(self, operation: str, requests: Path, seconds: int) -> Burst:
        """Send requests to all at once; the latencies are those of the slowest one."""

        def burst(member: Running) -> Burst:
            return load.send(member.base, requests, seconds, CONNECTIONS // len(self.members))

        with ThreadPoolExecutor(len(self.members)) as senders:
            bursts = [*senders.map(burst, self.members)]
        return Burst(
            requests=sum(one.requests for one in bursts),
            seconds=max(one.seconds for one in bursts),
            p50=max(one.p50 for one in bursts),
            p99=max(one.p99 for one in bursts),
            errors=sum(one.errors for one in bursts),
        )
