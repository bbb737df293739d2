"""Who is next: a bounded number of places, and a line in which users take turns."""

import asyncio
from collections import deque

from tasks_backend.errors import Overloaded


class FairSemaphore:
    """Places that are held one by one. Whoever must wait does so beside their own user's requests,
    and the users are served in rotation (fair queuing): a crowd of one user's requests delays
    another's by one turn, not by the crowd.
    """

    def __init__(self, places: int, *, wait: float) -> None:
        self.places = places
        self.held = 0
        self._wait = wait
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(map(len, self._lines.values()))

    async def acquire(self, user: str) -> None:
        """Wait for a place. Raises Overloaded if none came free in time."""
        if self.held < self.places:
            self.held += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(user, deque()).append(turn)
        try:
            async with asyncio.timeout(self._wait):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.release()  # the turn came in the moment of giving up: pass it on
            else:
                self._leave(user, turn)
            if isinstance(error, TimeoutError):
                raise Overloaded from None
            raise

    def release(self) -> None:
        """Give a place back, to whoever is next."""
        while self._lines:
            user, line = next(iter(self._lines.items()))
            turn = line.popleft()
            del self._lines[user]
            if line:
                self._lines[user] = line  # at the end: the other users come first
            if not turn.done():
                turn.set_result(None)
                return
        self.held -= 1

    def _leave(self, user: str, turn: "asyncio.Future[None]") -> None:
        line = self._lines.get(user)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._lines[user]
