"""Looks at the service while it is besieged: from outside, and with a probe's question."""

import threading
from dataclasses import replace
from types import TracebackType
from typing import Self

import httpx2

from siege.measure import GAUGES, Held, asking, held, told_gauges, told_tasks
from siege.service import Service

BETWEEN_LOOKS = 0.5  # seconds
BETWEEN_PROBES = 0.5
BETWEEN_QUESTIONS = 4  # probes


class Watch:
    """Watches from the block's beginning to its end."""

    def __init__(self, service: Service) -> None:
        self.most = dict[int, Held]()
        """The most memory and the most descriptors that each worker had."""
        self.tasks = 0
        """The most that a worker told."""
        self.gauges = dict.fromkeys(GAUGES, -1)
        self.probes = self.unanswered = 0
        """Requests for /livez, each on a connection of its own."""
        self._service = service
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._look), threading.Thread(target=self._ask)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _look(self) -> None:
        while not self._over.wait(BETWEEN_LOOKS):
            for pid, now in held(self._service).items():
                was = self.most.get(pid, now)
                self.most[pid] = replace(
                    now,
                    memory=max(was.memory, now.memory),
                    descriptors=max(was.descriptors, now.descriptors),
                )

    def _ask(self) -> None:
        with asking(self._service) as client:
            while not self._over.wait(BETWEEN_PROBES):
                self.probes += 1
                try:
                    self.unanswered += client.get("/livez").status_code != 200
                except httpx2.TransportError:
                    self.unanswered += 1
                    continue
                if self.probes % BETWEEN_QUESTIONS == 0:
                    self._question()

    def _question(self) -> None:
        counts = [count for _, count in told_tasks(self._service)]
        self.tasks = max([self.tasks, *counts])
        for name, value in told_gauges(self._service).items():
            self.gauges[name] = max(value, self.gauges[name])
