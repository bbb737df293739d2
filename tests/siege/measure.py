"""Resources of the service: each worker's memory, descriptors and connections; tasks, places."""

import re
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

from siege.service import Service

MIB = 1024 * 1024
GAUGES = {
    "tasks_backend_requests_in_progress": 1,  # the request for the metrics
    "tasks_backend_request_places_in_use": 0,
    "tasks_backend_request_senders": 0,
    "tasks_backend_request_bodies_awaited": 0,
    "tasks_backend_database_connections_in_use": 0,
    "tasks_backend_database_waiting": 0,
}
"""The metrics of held resources, summed over all workers, and their values at rest."""
NO_TLS = ssl.SSLContext(
    ssl.PROTOCOL_TLS_CLIENT
)  # created once: one for each client would cost more than its requests
PROBES = 16  # connections at once, to find every worker
PATIENCE = 5.0  # seconds that an answer is waited for
SETTLE = 15.0  # seconds in which running work may end
PAUSE = 0.25
LOOKS = 3  # at least: the minimum of the observed tasks is permanent


@dataclass(frozen=True)
class Held:
    """Resources of one worker, measured from outside."""

    memory: float
    """Resident, MiB."""
    descriptors: int
    used: float
    """Seconds of CPU so far."""
    waited: float
    """Seconds so far in which its event loop was ready to run but other processes had the CPU."""


@dataclass(frozen=True)
class Rest:
    """Resources of all workers without any request, by process id."""

    workers: dict[int, Held]
    connections: dict[int, int]
    """Of clients."""
    tasks: dict[int, int]
    """Of the event loop."""
    gauges: dict[str, int]


def asking(service: Service) -> httpx2.Client:
    """Return a client that opens a new connection for each request."""
    headers = {"Connection": "close"}
    return httpx2.Client(base_url=service.url, headers=headers, timeout=PATIENCE, verify=NO_TLS)


def held(service: Service) -> dict[int, Held]:
    """Measure each worker."""
    found = {}
    for process in service.processes():
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            schedule = Path(f"/proc/{process.pid}/schedstat").read_text().split()
            memory, (user, system, *_) = process.memory_info().rss / MIB, process.cpu_times()
            found[process.pid] = Held(
                memory, process.num_fds(), user + system, int(schedule[1]) / 1e9
            )
    return found


def at_rest(service: Service) -> Rest:
    """Measure until it is at rest, at most for `SETTLE` seconds; return the last measurement."""
    give_up = time.monotonic() + SETTLE
    tasks, looks = dict[int, int](), 0
    while True:
        for pid, count in task_counts(service):
            tasks[pid] = min(count, tasks.get(pid, count))
        gauges = gauge_values(service)
        looks += 1
        rests = gauges == GAUGES and len(tasks) == service.workers and looks >= LOOKS
        if rests or time.monotonic() > give_up:
            break
        time.sleep(PAUSE)
    time.sleep(PAUSE)  # until the connections of these requests are closed
    return Rest(held(service), _connections(service), tasks, gauges)


def task_counts(service: Service) -> list[tuple[int, int]]:
    """Return the id and the task counts of each worker that was reached."""

    def ask(_: int) -> tuple[int, int] | None:
        try:
            told = client.get("/siege").json()
            return told["pid"], told["tasks"]
        except (httpx2.TransportError, ValueError, KeyError):
            return None

    with asking(service) as client, ThreadPoolExecutor(PROBES) as executor:
        return [answer for answer in executor.map(ask, range(PROBES)) if answer is not None]


def gauge_values(service: Service) -> dict[str, int]:
    """Return the gauges; -1 for those that the service does not report."""
    text = ""
    with asking(service) as client, suppress(httpx2.TransportError):
        text = client.get("/metrics").text
    samples = re.findall(r'^(\w+)(?:\{state="(\w+)"\})? ([0-9.]+)$', text, re.MULTILINE)
    told = {name + (f"_{state}" if state else ""): int(float(n)) for name, state, n in samples}
    return {name: told.get(name, -1) for name in GAUGES}


def _connections(service: Service) -> dict[int, int]:
    return {
        process.pid: sum(
            connection.laddr.port == service.port and bool(connection.raddr)
            for connection in process.net_connections("tcp4")
        )
        for process in service.processes()
    }
