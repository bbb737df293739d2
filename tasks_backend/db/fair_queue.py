"""A semaphore with one queue per user, served in rotation."""

import asyncio
from collections import deque

from tasks_backend.errors import Overloaded


class FairSemaphore:
    """A bounded number of places with fair queuing: waiting users are served in rotation.

    Many requests of one user delay another user's request by one place, not by all of them.
    `wait` is in seconds.
    """

    def __init__(self, places: int, *, wait: float) -> None:
        self.places = places
        self.held = 0
        self._wait = wait
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """Number of waiting requests."""
        return sum(map(len, self._queues.values()))

    async def acquire(self, user: str) -> None:
        """Wait for a place. Raises Overloaded if none becomes free in time."""
        if self.held < self.places:
            self.held += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._queues.setdefault(user, deque()).append(waiter)
        try:
            async with asyncio.timeout(self._wait):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self.release()  # got the place at the moment of giving up: pass it on
            else:
                self._remove(user, waiter)
            if isinstance(error, TimeoutError):
                raise Overloaded from None
            raise

    def release(self) -> None:
        """Give the place to the next waiting request."""
        while self._queues:
            user, queue = next(iter(self._queues.items()))
            waiter = queue.popleft()
            del self._queues[user]
            if queue:
                self._queues[user] = queue  # at the end: other users come first
            if not waiter.done():
                waiter.set_result(None)
                return
        self.held -= 1

    def _remove(self, user: str, waiter: "asyncio.Future[None]") -> None:
        queue = self._queues.get(user)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[user]
