"""psycopg2 on the event loop: one asynchronous connection, driven by the loop's own readers."""

import asyncio
import math
import os
import select
import socket
import struct
from typing import Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE, make_dsn

from tasks_backend.db.addresses import addresses_of
from tasks_backend.db.failures import (
    ENCODING,
    Failure,
    WrongEncoding,
    classify,
    classify_connecting,
)
from tasks_backend.db.libpq import decoded, report_sqlstates
from tasks_backend.db.race import first_success

Row = tuple[Any, ...]

_PARAMETERS = {
    "client_encoding": ENCODING,  # whatever the URL, the environment or the login's settings say
    # The kernel's part in noticing a peer that has gone silent; the deadline of a request is ours.
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",
}

_DISCARD = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Connection:
    """One connection to PostgreSQL, which at most one statement uses at a time."""

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
        loop.add_reader(self._fd, self._readable)

    @property
    def closed(self) -> bool:
        """Whether it can no longer be used: closed by us, or hung up on by the server."""
        return bool(self._raw.closed)

    def is_lost(self) -> bool:
        """Whether the server has ended it, even if the loop has not yet come to notice.

        A statement sent after that would be in doubt for nothing.
        """
        if not self.closed and self._socket.poll(0):
            self.close()
        return self.closed

    async def fetch(self, sql: str, parameters: dict[str, Any]) -> list[Row]:
        """Send one message and return the rows of its last statement.

        Raises DatabaseFailure. Cancelled on the way, the connection is closed: the answer that
        is still to come belongs to nobody, and what was not sent yet is not sent.
        """
        self._idle = False
        try:
            cursor = self._raw.cursor()
            cursor.execute(sql, parameters)
            while (state := self._raw.poll()) != POLL_OK:
                await self._ready(state)
            rows: list[Row] = cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
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
        """Hang up, at once. A statement that still runs on the server ends by its own timeout."""
        if not self._raw.closed or self._fd >= 0:
            if self._fd >= 0 and not self.loop.is_closed():
                self.loop.remove_reader(self._fd)
            self._fd = -1
            self._raw.close()

    def _abort(self) -> None:
        """Hang up, and discard what the kernel has not sent yet: it must not arrive later."""
        if self._fd >= 0:
            with socket.socket(fileno=os.dup(self._fd)) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
        self.close()

    async def _ready(self, state: int) -> None:
        self._waiter = self.loop.create_future()
        try:
            if state == POLL_WRITE:
                self.loop.add_writer(self._fd, _wake, self._waiter)
            await self._waiter
        finally:
            if state == POLL_WRITE and self._fd >= 0:
                self.loop.remove_writer(self._fd)
            self._waiter = None

    def _readable(self) -> None:
        if self._waiter is not None:
            _wake(self._waiter)
        elif self._idle:  # nothing was asked: the server hangs up, or this call is a moment late
            self.is_lost()


async def connect(dsn: str, *, timeout: float) -> Connection:
    """Return a new connection, to the first address of the URL that gives one.

    Raises DatabaseFailure, never sent or refused, within `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout
    try:
        addresses = await addresses_of(dsn, timeout=timeout / 2)
        return await first_success(
            lambda address: _connect(make_dsn(dsn, **_PARAMETERS, **address)),
            addresses,
            timeout=until - loop.time(),
        )
    except (psycopg2.Error, OSError, UnicodeError) as error:  # TimeoutError is an OSError
        raise classify_connecting(error) from None


async def _connect(dsn: str) -> Connection:
    """Return a new connection to one address. Raises DatabaseFailure, never sent or refused."""
    loop = asyncio.get_running_loop()
    raw: Any = None
    try:
        with decoded():
            raw = psycopg2.connect(dsn, async_=True)
            report_sqlstates(raw)
            while (state := raw.poll()) != POLL_OK:
                await _ready_once(loop, raw.fileno(), state)
    except BaseException as error:
        if raw is not None:
            raw.close()
        if isinstance(error, psycopg2.Error):
            raise classify_connecting(error) from None
        raise
    encoding = raw.get_parameter_status("server_encoding")
    if encoding != ENCODING:
        raw.close()
        raise WrongEncoding(encoding)
    return Connection(raw, loop)


async def _ready_once(loop: asyncio.AbstractEventLoop, fd: int, state: int) -> None:
    """Wait until the socket is ready. While connecting, libpq may change sockets at any poll."""
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
