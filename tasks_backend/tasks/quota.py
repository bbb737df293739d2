"""Limits for the rows of one user, and when to count them (decision 0016)."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self
from weakref import WeakValueDictionary

from fastapi import FastAPI

from tasks_backend.db.connection import Row
from tasks_backend.db.database import CallerDatabase
from tasks_backend.db.statements import Statement
from tasks_backend.errors import Overloaded
from tasks_backend.http.caller import Caller

KNOWN_USERS = 10_000  # per process; about 1 MB


class Limit:
    """The maximum number of rows of one kind per user; 0 means no limit.

    Counting a user's rows costs more than 5 % of a write, so most writes are not counted. If a count
    shows that n more rows are allowed, this process does not count the user's next n/64 writes, at most
    0.5 % of the limit. Other processes may fill the limit meanwhile, so each process can exceed it by
    that much. For a user that the process does not know, as after a restart, the number is 1/5,000 of
    the limit. Close to the limit, and for a limit below 200, each write is counted.
    """

    def __init__(self, most: int) -> None:
        self.most = most or None
        self._uncounted: OrderedDict[str, int] = OrderedDict()

    def take_uncounted(self, user_id: str) -> bool:
        """Use up one uncounted write. Return False if this write must be counted."""
        if self.most is None:
            return True
        # A user unknown to this process may already be at the limit.
        left = self._uncounted.pop(user_id, self.most // 5000)
        self._uncounted[user_id] = max(0, left - 1)
        if len(self._uncounted) > KNOWN_USERS:
            self._uncounted.popitem(last=False)
        return left > 0

    def set_remaining(self, user_id: str, left: int) -> None:
        """Store how many more rows the user may have."""
        if self.most is not None:
            self._uncounted[user_id] = min(left // 64, self.most // 200)


class Quota:
    """The limits of an application, by the statements' parameter. Each process counts for itself."""

    def __init__(self, **limits: int) -> None:
        self.limits = {name: Limit(most) for name, most in limits.items()}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(
        self,
        own: CallerDatabase,
        uncounted: Statement,
        counted: Statement,
        names: Sequence[str],
        **parameters: Any,
    ) -> list[Row]:
        """Run a write, with counting if one of these limits needs it, and return its rows.

        Raises Overloaded, and what `CallerDatabase.run` raises. No row: a limit is reached.
        """
        user_id = own.caller.user_id
        limits = [self.limits[name] for name in names]
        if all([limit.take_uncounted(user_id) for limit in limits]):  # noqa: C419 - of each limit
            return await own.run(uncounted, **parameters)
        parameters |= {name: self.limits[name].most for name in names}
        async with self._count_lock(own.caller):
            rows = await own.run(counted, **parameters)
        for row in rows:
            for limit, left in zip(limits, row[-len(limits) :], strict=True):
                limit.set_remaining(user_id, left)
        return [row[: -len(limits)] for row in rows]

    @asynccontextmanager
    async def _count_lock(self, caller: Caller) -> AsyncIterator[None]:
        """Serialise a user's counting writes.

        The database serialises them too; this lock prevents each of them from holding a connection
        while it waits. Raises Overloaded at the request's deadline.
        """
        lock = self._locks.setdefault(caller.user_id, asyncio.Lock())
        try:
            async with asyncio.timeout_at(caller.deadline):
                await lock.acquire()
        except TimeoutError:
            raise Overloaded from None
        try:
            yield
        finally:
            lock.release()

    @classmethod
    def of(cls, app: FastAPI) -> Self:
        """Return the application's quota, created from its settings at first use."""
        quota: Self | None = getattr(app.state, "quota", None)
        if quota is None:
            settings: Any = app.state.settings
            quota = app.state.quota = cls(
                max_tasks=settings.max_tasks_per_user,
                max_keys=settings.max_idempotency_keys_per_user,
            )
        return quota
