"""An open-loop load generator: the schedule of requests does not depend on the answers.

A closed loop slows down with the service and so hides overload. Latencies count from the
scheduled time of a request, not from the time at which a connection was free.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import httptools

MAX_CONNECTIONS = 3000
GIVE_UP = 15.0  # seconds to wait for the last answers


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies; seconds become milliseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


@dataclass
class Outcome:
    """The results of the requests of one kind of client."""

    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    """0: the connection was lost, or no answer came; -1: it could not be sent."""
    served: list[float] = field(default_factory=list)
    """Latencies of 2xx answers in seconds, from the scheduled time."""
    refused: list[float] = field(default_factory=list)
    in_time: int = 0
    """2xx answers during the load."""
    lags: list[float] = field(default_factory=list)
    """The generator's own delay of each request, in seconds."""

    @property
    def goodput(self) -> float:
        """2xx answers per second during the load."""
        return self.in_time / self.seconds


class _Connection(asyncio.Protocol):
    def __init__(self, offer: "Offer") -> None:
        self.closed = asyncio.Event()
        self._offer = offer
        self._due: float | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._keep_alive = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        self._keep_alive = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        due, self._due = self._due, None
        if due is not None:
            self._offer.answered(due, self._parser.get_status_code())
        if self._keep_alive:
            self._parser = httptools.HttpResponseParser(self)
            self._offer.idle.append(self)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due is not None:
            self._offer.answered(self._due, 0)
        if self in self._offer.idle:
            self._offer.idle.remove(self)
        self.closed.set()


class Offer:
    """Requests at a mean rate per second, at random times (Poisson), for some seconds."""

    def __init__(self, host: str, port: int, *, rate: float, seconds: float) -> None:
        self.idle: list[_Connection] = []
        self._address = host, port
        self._rate = rate
        self._outcome = Outcome(seconds)
        self._opened: list[_Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._pending = 0
        self._ends_at = 0.0

    async def make(self, requests: Iterable[bytes]) -> Outcome:
        """Send them, wait for the last answers, and disconnect."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        self._ends_at = due + self._outcome.seconds
        for request in requests:
            due += random.expovariate(self._rate)
            if due > self._ends_at:
                break
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            self._outcome.lags.append(loop.time() - due)
            self._send(request, due)
        await self._finish()
        return self._outcome

    def answered(self, due: float, status: int) -> None:
        """Record an answer; status 0 is a lost connection."""
        now = asyncio.get_running_loop().time()
        self._pending -= 1
        self._outcome.statuses[status] += 1
        if 200 <= status < 300:
            self._outcome.served.append(now - due)
            self._outcome.in_time += now < self._ends_at
        elif status:
            self._outcome.refused.append(now - due)

    def _send(self, request: bytes, due: float) -> None:
        if self.idle:
            self.idle.pop().send(request, due)
        elif len(self._opened) + len(self._opening) < MAX_CONNECTIONS:
            task = asyncio.get_running_loop().create_task(self._open(request, due))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self._outcome.statuses[-1] += 1
            return
        self._pending += 1

    async def _open(self, request: bytes, due: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(GIVE_UP):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self), *self._address
                )
        except (OSError, TimeoutError):
            self.answered(due, 0)
            return
        self._opened.append(connection)
        connection.send(request, due)

    async def _finish(self) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + GIVE_UP
        while self._pending and loop.time() < give_up:  # noqa: ASYNC110 - polled, there is no event
            await asyncio.sleep(0.05)
        self._outcome.statuses[0] += self._pending
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in self._opened:
            connection.transport.abort()
            await connection.closed.wait()
