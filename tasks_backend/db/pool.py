"""A connection pool on the event loop: bounded, last in first out, opened on demand."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from tasks_backend.db.causes import LEFT_OPEN
from tasks_backend.db.classification import failure_of
from tasks_backend.db.connection import Connection, Row, connect
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.fair_queue import FairSemaphore
from tasks_backend.db.statements import APP_ROLE, PING, ROLE, ROLE_OF_LOGIN
from tasks_backend.errors import Overloaded
from tasks_backend.http.counted_warning import CountedWarning
from tasks_backend.http.request_record import DatabaseCall, get_record

RECYCLE_AFTER = 240  # seconds idle; Neon suspends a compute, and its sockets, after 300
MAX_AGE = 1800  # seconds; a new connection resolves the host again, which may have moved
PING_AFTER = 30  # seconds idle; a firewall may have dropped the connection silently
LONG_WAIT = 1.0  # seconds; requests that wait longer for a connection are counted in the log

logger = logging.getLogger("tasks_backend.db")

T = TypeVar("T")


class Pool:
    """Lends connections. The first use opens one, so the service starts without a database."""

    def __init__(self, dsn: str, *, size: int, wait: float, connect_timeout: float) -> None:
        self.semaphore = FairSemaphore(size, wait=wait)
        self._dsn = dsn
        self._wait = wait
        self._connect_timeout = connect_timeout
        self._idle: list[Connection] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._long_waits = CountedWarning(
            logger,
            "%d requests waited long for a database connection, or in vain:"
            " look for slow statements, or raise POOL_SIZE",
            "requests no longer wait long for a database connection; it lasted %.0f s",
            self._usage,
        )
        self._last_wait = 0.0

    @property
    def idle(self) -> int:
        """Number of open connections that are not in use."""
        return len(self._idle)

    async def fetch(
        self,
        sql: str,
        parameters: dict[str, object],
        *,
        user: str = "",
        late_parameters: Callable[[], dict[str, object]] = dict,
    ) -> list[Row]:
        """Send one message over a connection of the pool and return its rows.

        If all connections are in use, users (`user`) are served in rotation; a user may use no more
        connections than are free. `late_parameters`
        returns the parameters that depend on the time; it is called just before sending, and its
        errors are passed on. Raises DatabaseFailure, or Overloaded if no connection becomes free in
        time.
        """
        await self._acquire_slot(user)
        try:
            connection = await self._connection()
            try:
                values = {**parameters, **late_parameters(), ROLE: connection.role}
                rows = await _record_call("statement", connection.fetch(sql, values))
            finally:
                if left_open := connection.in_transaction:
                    connection.close()  # messages of others would be part of it, and be lost
                else:
                    self._idle.append(connection)
        finally:
            self.semaphore.release(user)
        if left_open:
            raise failure_of(LEFT_OPEN)
        return rows

    def close(self) -> None:
        """Close the idle connections, not those in use."""
        while self._idle:
            self._idle.pop().close()

    async def _acquire_slot(self, user: str) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        started = loop.time()
        try:
            await self.semaphore.acquire(user)
        except Overloaded:
            self._count_long_wait(loop.time() - started)
            if record := get_record():
                record.in_counted_warning = True
            raise
        finally:
            waited = loop.time() - started
            if record := get_record():
                record.waited += waited
        if waited > LONG_WAIT:
            self._count_long_wait(waited)

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Drop the connections of an earlier loop, which has ended: tests create new loops, and so
        do adapters for functions. Raises RuntimeError while the other loop runs.
        """
        if self._loop is not None and self._loop.is_running():
            raise RuntimeError(
                "one application is used on two event loops at once: make one with create_app() for"
                " each loop"
            )
        self.close()
        self._loop, self.semaphore = loop, FairSemaphore(self.semaphore.places, wait=self._wait)

    def _count_long_wait(self, waited: float) -> None:
        self._last_wait = waited
        self._long_waits.add()

    def _usage(self) -> dict[str, object]:
        """Return the fields of the warning that requests wait long."""
        return {
            "connections": self.semaphore.places,
            "in_use": self.semaphore.held,
            "waiting": self.semaphore.waiting,
            "waited_ms": round(self._last_wait * 1000),
        }

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_lost():
                continue
            now = connection.loop.time()
            idle_time = now - connection.used_at
            if idle_time > RECYCLE_AFTER or now > connection.expires_at:
                connection.close()
                continue
            if idle_time > PING_AFTER:
                try:
                    async with asyncio.timeout(self._connect_timeout):
                        await _record_call("ping", connection.fetch(PING, {}))
                except (DatabaseFailure, TimeoutError):
                    connection.close()
                    continue
            return connection
        return await _record_call("connect", self._new_connection())

    async def _new_connection(self) -> Connection:
        """Connect, and choose a role that row-level security restricts.

        A login that bypasses row-level security is refused, so that it is never off unnoticed.
        """
        connection = await connect(self._dsn, timeout=self._connect_timeout)
        try:
            rows = await connection.fetch(ROLE_OF_LOGIN, {})
        except DatabaseFailure as failure:
            connection.close()
            if failure.failure is Failure.OUTCOME_UNKNOWN:  # the caller's statement was not sent
                raise DatabaseFailure(Failure.NOT_SENT, failure.reason) from failure
            raise
        if not rows or rows[0][0] is None:
            connection.close()
            reason = f"row-level security does not apply to the login: grant it {APP_ROLE}"
            raise DatabaseFailure(Failure.CONFIGURATION, reason)
        connection.role = rows[0][0]
        age = MAX_AGE * random.uniform(0.8, 1)  # noqa: S311 - they must not all expire at once
        connection.expires_at = connection.loop.time() + age
        return connection


async def _record_call(kind: Literal["connect", "ping", "statement"], call: Awaitable[T]) -> T:
    """Await the call and add its duration and outcome to the request's record."""
    record = get_record()
    if record is None:
        return await call
    started_at, started = time.time(), time.perf_counter()
    outcome = "cancelled"
    try:
        result = await call
        outcome = "ok"
    except DatabaseFailure as failure:
        outcome = failure.failure.name.lower()
        raise
    finally:
        duration = time.perf_counter() - started
        record.database_calls.append(DatabaseCall(kind, started_at, duration, outcome))
    return result
