"""Monitors the service during a siege: from outside, and with readiness probes."""

import threading
import time
from dataclasses import replace
from typing import Self

import httpx2

from siege.measure import GAUGES, PATIENCE, Held, asking, gauge_values, held, task_counts
from siege.service import REQUEST_TIMEOUT, Service

BETWEEN_LOOKS = 0.5  # seconds
BETWEEN_PROBES = 0.5
BETWEEN_QUESTIONS = 4  # probes
ENOUGH = 0.5  # of a probe's time: a probe with less CPU than this is excused


class Watch:
    """Monitors from the start of the block to its end."""

    def __init__(self, service: Service) -> None:
        self.most = dict[int, Held]()
        """The maximum memory and descriptors of each worker."""
        self.tasks = 0
        """The maximum that a worker reported."""
        self.gauges = dict.fromkeys(GAUGES, -1)
        self.probes = 0
        """Requests for /livez, each on a new connection."""
        self._failed = list[tuple[float, float]]()
        self._denials = list[tuple[float, float]]()
        self._service = service
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._poll), threading.Thread(target=self._probe)]

    def denied(self, begin: float, end: float) -> float:
        """Return the seconds between two monotonic times in which a worker was ready to run but
        other processes had the CPU. The service is not responsible for these.
        """
        _, first = self._denials[0]
        before = max((waited for at, waited in self._denials if at <= begin), default=first)
        return max((waited for at, waited in self._denials if at <= end), default=first) - before

    @property
    def lags(self) -> list[tuple[float, float]]:
        """The CPU seconds that workers had to wait during a request, for a `History`."""
        return [(at, self.denied(at - REQUEST_TIMEOUT, at)) for at, _ in self._denials]

    @property
    def unanswered(self) -> int:
        """Count the unanswered probes for which there was enough CPU."""
        return sum(self.denied(*probe) < ENOUGH * PATIENCE for probe in self._failed)

    @property
    def excused(self) -> int:
        """Count the unanswered probes without enough CPU."""
        return len(self._failed) - self.unanswered

    def __enter__(self) -> Self:
        self._note(held(self._service))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _poll(self) -> None:
        while not self._over.wait(BETWEEN_LOOKS):
            self._note(held(self._service))

    def _note(self, workers: dict[int, Held]) -> None:
        waited = max((worker.waited for worker in workers.values()), default=0.0)
        self._denials.append((time.monotonic(), waited))
        for pid, now in workers.items():
            was = self.most.get(pid, now)
            self.most[pid] = replace(
                now,
                memory=max(was.memory, now.memory),
                descriptors=max(was.descriptors, now.descriptors),
            )

    def _probe(self) -> None:
        with asking(self._service) as client:
            while not self._over.wait(BETWEEN_PROBES):
                self.probes += 1
                asked_at = time.monotonic()
                try:
                    answered = client.get("/livez").status_code == 200
                except httpx2.TransportError:
                    answered = False
                if not answered:
                    self._failed.append((asked_at, time.monotonic()))
                if self.probes % BETWEEN_QUESTIONS == 0:
                    self._measure()

    def _measure(self) -> None:
        counts = [count for _, count in task_counts(self._service)]
        self.tasks = max([self.tasks, *counts])
        for name, value in gauge_values(self._service).items():
            self.gauges[name] = max(value, self.gauges[name])
