"""A steady load, divided among the services that are up, as a load balancer does."""

import contextlib
import itertools
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx2

RATE = 20  # requests a second
TASKS = "/api/v1/tasks"


@dataclass
class Load:
    """Requests at a fixed rate, each started on time whatever the earlier ones do."""

    token: str
    services: list[str]
    answers: list[tuple[str, int, float]] = field(default_factory=list)
    """The phase, the status (0 without an answer), and the seconds that it took."""
    phase: str = ""

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        self._client = httpx2.Client(headers=headers, timeout=30)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        starter = threading.Thread(target=self._start_requests, args=(stop,))
        starter.start()
        try:
            yield
        finally:
            stop.set()
            starter.join()
            self._client.close()

    def failures(self) -> list[tuple[str, int, float]]:
        return [answer for answer in self.answers if not 200 <= answer[1] < 300]

    def report(self, durations: dict[str, float]) -> str:
        """A table of the phases."""
        lines = [
            "",
            "| state | seconds | requests | failed | longest, ms |",
            "|---|---|---|---|---|",
        ]
        for phase, seconds in durations.items():
            answers = [answer for answer in self.answers if answer[0] == phase]
            failed = len([answer for answer in self.failures() if answer[0] == phase])
            longest = max((1000 * took for _, _, took in answers), default=0)
            lines.append(f"| {phase} | {seconds:.1f} | {len(answers)} | {failed} | {longest:.0f} |")
        return "\n".join([*lines, ""])

    def _start_requests(self, stop: threading.Event) -> None:
        with ThreadPoolExecutor(40) as executor:
            start = time.monotonic()
            for number in itertools.count():
                if stop.wait(max(0, start + number / RATE - time.monotonic())):
                    return
                service = self.services[number % len(self.services)]
                executor.submit(self._request, number, service, self.phase)

    def _request(self, number: int, service: str, phase: str) -> None:
        began = time.monotonic()
        try:
            status = self._send(service + TASKS, number)
        except httpx2.HTTPError:
            status = 0
        self.answers.append((phase, status, time.monotonic() - began))

    def _send(self, tasks: str, number: int) -> int:
        if number % 3 == 0:
            return self._client.get(tasks, params={"limit": 5}).status_code
        created = self._client.post(tasks, json={"title": "x"}, headers=_key(number))
        if created.status_code != 201 or number % 3 == 1:
            return created.status_code
        toggle = f"{tasks}/{created.json()['id']}/toggle"
        return self._client.post(toggle, headers=_key(number)).status_code


def _key(number: int) -> dict[str, str]:
    """A new idempotency key for every second request."""
    return {"Idempotency-Key": secrets.token_hex(8)} if number % 2 else {}
