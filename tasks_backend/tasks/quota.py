"""What one user may store, and when it has to be counted (decision 0016)."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from weakref import WeakValueDictionary

from fastapi import FastAPI

from tasks_backend.errors import Overloaded
from tasks_backend.http.caller import Caller

KNOWN_USERS = 10_000  # of this process; about 1 MB


class Limit:
    """How many rows of one kind a user may have. 0 is no limit.

    Counting a user's rows costs more than a twentieth of a write, so after each count some writes
    are let through without one: a 64th of what was left, which no number of processes below 64 can
    exceed together. It is at most half a hundredth of the limit, in case rows come from elsewhere,
    such as an import. Close to the limit, and for a small limit, each write is counted.
    """

    def __init__(self, most: int) -> None:
        self.most = most or None
        self._uncounted: OrderedDict[str, int] = OrderedDict()

    def must_count(self, user_id: str) -> bool:
        """Return whether this write of the user's has to count; if not, it is taken as done."""
        if self.most is None:
            return False
        # A user whom this process does not know may have been known, and full, to its predecessor.
        left = self._uncounted.pop(user_id, self.most // 5000)
        self._uncounted[user_id] = max(0, left - 1)
        if len(self._uncounted) > KNOWN_USERS:
            self._uncounted.popitem(last=False)
        return left == 0

    def counted(self, user_id: str, left: int) -> None:
        """Note how many rows the user could still make."""
        if self.most is not None:
            self._uncounted[user_id] = min(left // 64, self.most // 200)


class Quota:
    """The limits of an application, in each process of its own."""

    def __init__(self, *, tasks: int, keys: int) -> None:
        self.tasks = Limit(tasks)
        self.keys = Limit(keys)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, caller: Caller) -> AsyncIterator[None]:
        """Let one write of a user count at a time.

        The database has them take turns, too; those of this process must not each hold a connection
        while they wait. Raises Overloaded at the request's deadline.
        """
        turn = self._turns.setdefault(caller.user_id, asyncio.Lock())
        try:
            async with asyncio.timeout_at(caller.deadline):
                await turn.acquire()
        except TimeoutError:
            raise Overloaded from None
        try:
            yield
        finally:
            turn.release()

    @classmethod
    def of(cls, app: FastAPI) -> Self:
        """Return the application's quota, made from its settings when it is first needed."""
        quota: Self | None = getattr(app.state, "quota", None)
        if quota is None:
            settings: Any = app.state.settings
            quota = app.state.quota = cls(
                tasks=settings.max_tasks_per_user, keys=settings.max_idempotency_keys_per_user
            )
        return quota
