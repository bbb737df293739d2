"""A small pool of connections on the event loop: bounded, last in first out, opened on demand."""

import asyncio
from collections import deque

from tasks_backend.db.connection import Connection, Row, connect
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.statements import APP_ROLE, PING, ROLE_OF_LOGIN
from tasks_backend.errors import Overloaded

RECYCLE_AFTER = 240  # seconds idle; Neon suspends a compute, and its sockets, after 300
PING_AFTER = 30  # seconds idle; a firewall may have dropped the connection without a word


class Pool:
    """Lends connections. Nothing is opened before the first loan, so a start needs no database."""

    def __init__(self, dsn: str, *, size: int, wait: float, connect_timeout: float) -> None:
        self._dsn = dsn
        self._size = size
        self._wait = wait
        self._connect_timeout = connect_timeout
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._lent = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def fetch(self, sql: str, parameters: dict[str, object]) -> list[Row]:
        """Send one message over a connection of the pool and return its rows.

        Raises DatabaseFailure, or Overloaded if no connection came free in time.
        """
        await self._take_place()
        try:
            connection = await self._connection()
            try:
                return await connection.fetch(sql, {"role": connection.role, **parameters})
            finally:
                if not connection.closed:
                    self._idle.append(connection)
        finally:
            self._give_place()

    def close(self) -> None:
        """Close what is idle. What is lent is closed by whoever uses it."""
        while self._idle:
            self._idle.pop().close()

    async def _take_place(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a new loop, as tests make: nothing of the old one is alive
            self.close()
            self._loop, self._lent = loop, 0
            self._waiting.clear()
        if self._lent < self._size and not self._waiting:
            self._lent += 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._wait):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._give_place()  # the turn came in the moment of giving up: pass it on
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise Overloaded from None
            raise

    def _give_place(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._lent -= 1

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.hung_up():
                continue
            idle = connection.loop.time() - connection.used_at
            if idle > RECYCLE_AFTER:
                connection.close()
                continue
            if idle > PING_AFTER:
                try:
                    async with asyncio.timeout(self._connect_timeout):
                        await connection.fetch(PING, {})
                except (DatabaseFailure, TimeoutError):
                    connection.close()
                    continue
            return connection
        return await self._new_connection()

    async def _new_connection(self) -> Connection:
        """Connect, and choose the role whose rows row-level security bounds.

        A login that would see past it is refused, so that the second lock is never off unnoticed.
        """
        connection = await connect(self._dsn, timeout=self._connect_timeout)
        rows = await connection.fetch(ROLE_OF_LOGIN, {})
        if not rows or rows[0][0] is None:
            connection.close()
            reason = f"the login sees past row-level security; grant it {APP_ROLE}"
            raise DatabaseFailure(Failure.CONFIGURATION, reason)
        connection.role = rows[0][0]
        return connection
