"""psycopg2 on the event loop: one asynchronous connection, driven by the loop's readers."""

import asyncio
import logging
import math
import os
import select
import socket
import struct
from typing import Any

import psycopg2
from psycopg2.extensions import (
    POLL_OK,
    POLL_READ,
    POLL_WRITE,
    TRANSACTION_STATUS_IDLE,
    make_dsn,
)

from tasks_backend.db.addresses import resolve_addresses
from tasks_backend.db.classification import classify, classify_connecting, unstorable
from tasks_backend.db.failures import ENCODING, DatabaseFailure, Failure, require_utf8
from tasks_backend.db.libpq import errors_with_text, report_sqlstates
from tasks_backend.db.race import first_success

Row = tuple[Any, ...]

sql_logger = logging.getLogger("tasks_backend.sql")


def not_in_production(_record: logging.LogRecord) -> bool:
    """Refuse PostgreSQL's sentence, which may contain a row: only `dev` removes this filter.

    A level would not do: `logging.config.dictConfig` resets the levels of child loggers.
    """
    return False


sql_logger.addFilter(not_in_production)

_PARAMETERS = {
    "client_encoding": ENCODING,  # overrides the URL, the environment and the login's settings
    # The kernel detects a silent peer with these; the service enforces the request's deadline.
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",
}

_LINGER_ZERO = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class Connection:
    """One connection to PostgreSQL, used by at most one statement at a time."""

    def __init__(self, raw: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.role = "none"
        self.used_at = loop.time()
        self.expires_at = math.inf
        self._raw = raw
        self._fd: int = raw.fileno()
        self._waiter: asyncio.Future[None] | None = None
        self._idle = True
        self._socket = select.poll()
        self._socket.register(self._fd, select.POLLIN)
        loop.add_reader(self._fd, self._on_readable)

    @property
    def closed(self) -> bool:
        """Whether the connection is closed, by the service or by the server."""
        return bool(self._raw.closed)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, or may be, because the connection is closed."""
        return bool(self._raw.get_transaction_status() != TRANSACTION_STATUS_IDLE)

    def is_lost(self) -> bool:
        """Whether the server closed the connection, even if the event loop has not yet noticed.

        A statement sent on it would fail with an unknown outcome.
        """
        if not self.closed and self._socket.poll(0):
            self.close()
        return self.closed

    async def fetch(self, sql: str, parameters: dict[str, Any]) -> list[Row]:
        """Send one message and return the rows of its last statement.

        Raises DatabaseFailure. Cancellation resets the connection: unsent bytes are discarded, and
        no later statement can receive this one's answer.
        """
        self._idle = False
        try:
            cursor = self._raw.cursor()
            try:
                cursor.execute(sql, parameters)
            except ValueError as error:  # a NUL or a lone surrogate in a text: nothing was sent
                raise unstorable(error) from None
            except psycopg2.ProgrammingError as error:  # it names the type, and not the value
                if error.pgcode is not None:
                    raise
                raise TypeError(f"a parameter cannot be sent: {str(error).strip()}") from None
            while (state := self._raw.poll()) != POLL_OK:
                await self._wait_until_ready(state)
            rows: list[Row] = cursor.fetchall() if cursor.description else []
        except (DatabaseFailure, TypeError):  # nothing was sent
            raise
        except psycopg2.Error as error:
            statement = sql.partition(";\n")[2] or sql  # without the identity
            sql_logger.info("PostgreSQL says: %s. It was sent: %s", str(error).strip(), statement)
            failure = classify(error, lost=self.closed)
            if failure.failure is Failure.OUTCOME_UNKNOWN:
                self.close()
            raise failure from None
        except BaseException:
            self._abort()
            raise
        finally:
            self._idle = True
        self.used_at = self.loop.time()
        return rows

    def close(self) -> None:
        """Close at once. A statement that still runs on the server ends by its own timeout."""
        if not self._raw.closed or self._fd >= 0:
            if self._fd >= 0 and not self.loop.is_closed():
                self.loop.remove_reader(self._fd)
            self._fd = -1
            self._raw.close()

    def _abort(self) -> None:
        """Reset the connection: what the kernel has not sent yet must not arrive later."""
        if self._fd >= 0:
            with socket.socket(fileno=os.dup(self._fd)) as duplicate:
                duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.close()

    async def _wait_until_ready(self, state: int) -> None:
        self._waiter = self.loop.create_future()
        try:
            if state == POLL_WRITE:
                self.loop.add_writer(self._fd, _wake, self._waiter)
            await self._waiter
        finally:
            if state == POLL_WRITE and self._fd >= 0:
                self.loop.remove_writer(self._fd)
            self._waiter = None

    def _on_readable(self) -> None:
        if self._waiter is not None:
            _wake(self._waiter)
        elif self._idle:  # no statement runs: the server closed it, or this call is late
            self.is_lost()


async def connect(dsn: str, *, timeout: float) -> Connection:
    """Return a new connection to the first address of the URL that accepts one.

    Raises DatabaseFailure (NOT_SENT or REFUSED) within `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    try:
        addresses = await resolve_addresses(dsn, timeout=timeout / 2)
        return await first_success(
            lambda address: _connect(make_dsn(dsn, **_PARAMETERS, **address)),
            addresses,
            timeout=deadline - loop.time(),
        )
    except (psycopg2.Error, OSError, UnicodeError) as error:  # TimeoutError is an OSError
        raise classify_connecting(error, dsn) from None


async def _connect(dsn: str) -> Connection:
    """Return a new connection to one address. Raises DatabaseFailure (NOT_SENT or REFUSED)."""
    loop = asyncio.get_running_loop()
    raw: Any = None
    try:
        raw = psycopg2.connect(dsn, async_=True)
        report_sqlstates(raw)
        with errors_with_text(raw):
            while (state := raw.poll()) != POLL_OK:
                await _wait_while_connecting(loop, raw.fileno(), state)
    except BaseException as error:
        if raw is not None:
            raw.close()
        if isinstance(error, psycopg2.Error):
            raise classify_connecting(error, dsn) from None
        raise
    require_utf8(raw)
    return Connection(raw, loop)


async def _wait_while_connecting(loop: asyncio.AbstractEventLoop, fd: int, state: int) -> None:
    """Wait until the socket is ready. While connecting, libpq may replace it at any poll."""
    waiter = loop.create_future()
    add, remove = (
        (loop.add_reader, loop.remove_reader)
        if state == POLL_READ
        else (loop.add_writer, loop.remove_writer)
    )
    add(fd, _wake, waiter)
    try:
        await waiter
    finally:
        remove(fd)


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
