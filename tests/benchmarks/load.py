"""Bursts of requests by wrk, which returns its figures as JSON."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 16
TIMEOUT = 10  # wrk's timeout for an answer, in seconds
SCRIPT = Path(__file__).with_name("requests.lua")


@dataclass(frozen=True)
class Request:
    """One request of a burst."""

    method: str
    path: str
    token: str
    body: str = ""

    def __str__(self) -> str:
        return f"{self.method}\t{self.path}\t{self.token}\t{self.body}\n"


@dataclass(frozen=True)
class Burst:
    """The client's results of a burst: times in seconds; errors are all answers except 2xx."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int


def write(requests: Iterable[Request], path: Path) -> None:
    """Write the requests of a burst to a file."""
    path.write_text("".join(map(str, requests)))


def read(path: Path) -> Iterator[Request]:
    """Read a file of `write`."""
    with path.open() as lines:
        for line in lines:
            yield Request(*line.rstrip("\n").split("\t"))


def send(base: str, requests: Path, seconds: int, connections: int = CONNECTIONS) -> Burst:
    """Send the requests in a cycle, with this number of connections."""
    options = f"--threads 1 --connections {connections} --duration {seconds}s --timeout {TIMEOUT}s"
    done = subprocess.run(
        ["wrk", *options.split(), "--script", str(SCRIPT), base, "--", str(requests)],
        capture_output=True,
        text=True,
        timeout=seconds + TIMEOUT + 50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    return Burst(
        requests=told["requests"],
        seconds=told["duration"] / 1e6,
        p50=told["p50"] / 1e6,
        p99=told["p99"] / 1e6,
        errors=told["errors"],
    )
