"""A semaphore with one queue per user, served in rotation."""

import asyncio
from collections import deque

from tasks_backend.errors import Overloaded


class FairSemaphore:
    """A bounded number of places with fair queuing: waiting users are served in rotation.

    A user may hold no more places than are free, as in `http/limiter.py`. So slow requests of one
    user hold at most half of the places, and many requests of one user delay another user's request
    by one place, not by all of them. `wait` is in seconds.
    """

    def __init__(self, places: int, *, wait: float) -> None:
        self.places = places
        self.held = 0
        self._wait = wait
        self._held: dict[str, int] = {}
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """Number of waiting requests."""
        return sum(map(len, self._queues.values()))

    async def acquire(self, user: str) -> None:
        """Wait for a place. Raises Overloaded if none becomes free in time."""
        if user not in self._queues and self._may_acquire(user):
            self._take(user)
            return
        waiter = asyncio.get_running_loop().create_future()
        self._queues.setdefault(user, deque()).append(waiter)
        try:
            async with asyncio.timeout(self._wait):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self.release(user)  # got the place at the moment of giving up: pass it on
            else:
                self._remove(user, waiter)
            if isinstance(error, TimeoutError):
                raise Overloaded from None
            raise

    def release(self, user: str) -> None:
        """Release a place of this user. Waiting requests get the free places."""
        self.held -= 1
        self._held[user] -= 1
        if not self._held[user]:
            del self._held[user]
        while self.held < self.places and (next_user := self._next_user()) is not None:
            queue = self._queues.pop(next_user)
            waiter = queue.popleft()
            if queue:
                self._queues[next_user] = queue  # at the end: other users come first
            if not waiter.done():
                self._take(next_user)
                waiter.set_result(None)

    def _may_acquire(self, user: str) -> bool:
        return self._held.get(user, 0) < self.places - self.held

    def _next_user(self) -> str | None:
        """Return the first waiting user who may hold one more place."""
        return next(filter(self._may_acquire, self._queues), None)

    def _take(self, user: str) -> None:
        self.held += 1
        self._held[user] = self._held.get(user, 0) + 1

    def _remove(self, user: str, waiter: "asyncio.Future[None]") -> None:
        queue = self._queues.get(user)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[user]
