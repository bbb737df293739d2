"""A small pool of connections on the event loop: bounded, last in first out, opened on demand."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from tasks_backend.db.connection import Connection, Row, connect
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.fair_queue import FairSemaphore
from tasks_backend.db.statements import APP_ROLE, PING, ROLE, ROLE_OF_LOGIN
from tasks_backend.http.request_record import DatabaseCall, get_record

RECYCLE_AFTER = 240  # seconds idle; Neon suspends a compute, and its sockets, after 300
MAX_AGE = 1800  # seconds; then the host's name is looked up anew, for it may have moved
PING_AFTER = 30  # seconds idle; a firewall may have dropped the connection without a word

T = TypeVar("T")


class Pool:
    """Lends connections. Nothing is opened before the first loan, so a start needs no database."""

    def __init__(self, dsn: str, *, size: int, wait: float, connect_timeout: float) -> None:
        self.semaphore = FairSemaphore(size, wait=wait)
        self._dsn = dsn
        self._wait = wait
        self._connect_timeout = connect_timeout
        self._idle: list[Connection] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def idle(self) -> int:
        """How many connections are open and lent to nobody."""
        return len(self._idle)

    async def fetch(
        self,
        sql: str,
        parameters: dict[str, object],
        *,
        user: str = "",
        when_sent: Callable[[], dict[str, object]] = dict,
    ) -> list[Row]:
        """Send one message over a connection of the pool and return its rows.

        `user` is for whom: where connections are short, users take turns. `when_sent` returns the
        parameters that depend on the time; it is called when a connection is at hand, and what it
        raises is raised, with nothing sent. Raises DatabaseFailure, or Overloaded if no connection
        came free in time.
        """
        await self._turn(user)
        try:
            connection = await self._connection()
            try:
                values = {**parameters, **when_sent(), ROLE: connection.role}
                return await _noted("statement", connection.fetch(sql, values))
            finally:
                if not connection.closed:
                    self._idle.append(connection)
        finally:
            self.semaphore.release()

    def close(self) -> None:
        """Close what is idle. What is lent is closed by whoever uses it."""
        while self._idle:
            self._idle.pop().close()

    async def _turn(self, user: str) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a new loop, as tests make: nothing of the old one is alive
            self.close()
            self._loop, self.semaphore = loop, FairSemaphore(self.semaphore.places, wait=self._wait)
        began = loop.time()
        try:
            await self.semaphore.acquire(user)
        finally:
            if record := get_record():
                record.waited += loop.time() - began

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_lost():
                continue
            now = connection.loop.time()
            idle = now - connection.used_at
            if idle > RECYCLE_AFTER or now > connection.expires_at:
                connection.close()
                continue
            if idle > PING_AFTER:
                try:
                    async with asyncio.timeout(self._connect_timeout):
                        await _noted("ping", connection.fetch(PING, {}))
                except (DatabaseFailure, TimeoutError):
                    connection.close()
                    continue
            return connection
        return await _noted("connect", self._new_connection())

    async def _new_connection(self) -> Connection:
        """Connect, and choose the role whose rows row-level security bounds.

        A login that would see past it is refused, so that the second lock is never off unnoticed.
        """
        connection = await connect(self._dsn, timeout=self._connect_timeout)
        try:
            rows = await connection.fetch(ROLE_OF_LOGIN, {})
        except DatabaseFailure as failure:
            connection.close()
            if failure.failure is Failure.OUTCOME_UNKNOWN:  # what the caller wants was never sent
                raise DatabaseFailure(Failure.NOT_SENT, failure.reason) from failure
            raise
        if not rows or rows[0][0] is None:
            connection.close()
            reason = f"the login sees past row-level security; grant it {APP_ROLE}"
            raise DatabaseFailure(Failure.CONFIGURATION, reason)
        connection.role = rows[0][0]
        age = MAX_AGE * random.uniform(0.8, 1)  # noqa: S311 - so that not all expire at once
        connection.expires_at = connection.loop.time() + age
        return connection


async def _noted(kind: Literal["connect", "ping", "statement"], exchange: Awaitable[T]) -> T:
    """Do it, and note in the running request's observation how it went."""
    record = get_record()
    if record is None:
        return await exchange
    started_at, began = time.time(), time.perf_counter()
    outcome = "cancelled"
    try:
        result = await exchange
        outcome = "ok"
    except DatabaseFailure as failure:
        outcome = failure.failure.name.lower()
        raise
    finally:
        duration = time.perf_counter() - began
        record.database_calls.append(DatabaseCall(kind, started_at, duration, outcome))
    return result
