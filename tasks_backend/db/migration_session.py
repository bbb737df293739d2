"""The session of a migration: direct, and the only one in its database."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tasks_backend.db import connection as on_the_loop
from tasks_backend.db.causes import MISPARSED
from tasks_backend.db.classification import failure_of, is_misparsed
from tasks_backend.db.failures import ENCODING, DatabaseFailure, require_utf8
from tasks_backend.db.libpq import ConnectionWithText
from tasks_backend.db.session_statements import (
    BACKEND,
    BLOCKING_SESSIONS,
    FOREIGN_OWNER,
    LOCK_HOLDER,
    LOCK_TIMEOUT,
    RESET_OF_THE_ROLE,
    SET_LOCK_TIMEOUT,
    TRY_LOCK,
)

CONNECT_TIMEOUT = 10  # seconds
POOLER_TIMEOUT = 3.0  # seconds; for an answer while the pooler's connections are in use
POOLER_TRIES = 5
POOLED = (
    "this address leads to a pooler that gives one session to several clients in turn, and"
    " migrations need a session of their own: set DATABASE_URL_UNPOOLED to the direct address"
)
_LOCK_NOT_AVAILABLE, _INSUFFICIENT_PRIVILEGE = "55P03", "42501"


class MigrationError(Exception):
    """The schema could not be changed. The message is for the operator."""


def engine(url: str) -> Engine:
    """Return an engine without a pool for a libpq URL.

    Connecting raises MigrationError if the database's encoding is not UTF-8.
    """
    return create_engine(
        "postgresql+psycopg2://",
        creator=partial(_connect, url),
        poolclass=NullPool,
    )


def _connect(url: str) -> Any:
    connection = psycopg2.connect(
        url,
        connection_factory=ConnectionWithText,
        connect_timeout=CONNECT_TIMEOUT,
        client_encoding=ENCODING,
    )
    try:
        require_utf8(connection)
    except DatabaseFailure as failure:
        raise MigrationError(failure.reason) from None
    return connection


@contextmanager
def exclusive_session(url: str) -> Iterator[Connection]:
    """Connect, and lock out other migrations until the end. Errors become MigrationError."""
    if is_misparsed(url):  # libpq's message would repeat a part of the password
        raise MigrationError(failure_of(MISPARSED).reason)
    if "-pooler." in parse_dsn(url).get("host", ""):
        raise MigrationError(POOLED)
    with ThreadPoolExecutor(1) as thread:  # the caller may run in an event loop
        is_pooled = thread.submit(lambda: asyncio.run(shares_sessions(url))).result()
    if is_pooled:
        raise MigrationError(POOLED)
    try:
        with engine(url).connect() as connection:
            connection.execute(text(RESET_OF_THE_ROLE))
            connection.commit()
            _lock(connection)
            yield connection
    except DBAPIError as error:
        raise MigrationError(first_line(error)) from error


def first_line(error: Exception) -> str:
    """Return the first line of the server's message."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return next(iter(str(cause).strip().splitlines()), type(error).__name__)


async def shares_sessions(url: str) -> bool:
    """Return whether the address leads to a pooler in transaction or statement mode.

    Two clients ask in turn for the process that serves them. The address is a pooler if one client
    sees two processes, or if both see the same process. Nothing is set and no
    transaction stays open. An address that refuses one of the clients counts as direct.
    """
    clients: list[on_the_loop.Connection] = []
    seen: tuple[set[int], set[int]] = (set(), set())
    try:
        while len(clients) < len(seen):
            clients.append(await on_the_loop.connect(url, timeout=CONNECT_TIMEOUT))
        for _ in range(POOLER_TRIES):
            for client, processes in zip(clients, seen, strict=True):
                async with asyncio.timeout(POOLER_TIMEOUT):
                    ((process,),) = await client.fetch(BACKEND, {})
                processes.add(process)
            if max(map(len, seen)) > 1 or seen[0] & seen[1]:
                return True
    except TimeoutError:
        # A pooler without a free connection lets the first client wait. If only the second waits,
        # the first one has kept its session.
        return not seen[0]
    except DatabaseFailure:
        return False
    finally:
        for client in clients:
            client.close()
    return False


def _lock(connection: Connection) -> None:
    """Take the session's lock. Between two tries no transaction is open: it would block the other
    migration's CREATE INDEX CONCURRENTLY.
    """
    give_up = time.monotonic() + LOCK_TIMEOUT
    while not connection.scalar(text(TRY_LOCK)):
        connection.rollback()
        if time.monotonic() > give_up:
            holder = _describe(connection, LOCK_HOLDER)
            raise MigrationError(f"another migration holds the lock{holder}")
        time.sleep(0.1)
    connection.execute(text(SET_LOCK_TIMEOUT))
    connection.commit()


def explain(connection: Connection, error: Exception, schema: str) -> str:
    """Return why a migration of a schema failed, and what to do. Ends its transaction."""
    cause = first_line(error)
    state = getattr(getattr(error, "orig", None), "pgcode", None)
    with suppress(DBAPIError):  # the connection may be lost
        connection.rollback()
        if state == _LOCK_NOT_AVAILABLE:
            return f"{cause}{_describe(connection, BLOCKING_SESSIONS)}"
        if state == _INSUFFICIENT_PRIVILEGE:
            found = connection.execute(text(FOREIGN_OWNER).bindparams(schema=schema)).first()
            if found is not None:
                owner, login = found
                return (
                    f"{cause}: the schema {schema} or a table in it belongs to {owner}, not to"
                    f" {login}; run `tasks-backend migrate` as {owner} or as a superuser"
                )
    return cause


def _describe(connection: Connection, query: str) -> str:
    """Return a clause about the session that the query finds, or an empty string."""
    session = connection.execute(text(query)).first()
    if session is None:
        return ""
    process, user, application, state, since = session
    known = [f"user {user}", f"application {application}" if application else "", state or ""]
    since = f" since {since}" if since else ""
    return (
        f": it is held by process {process} ({', '.join(filter(None, known))}{since}); wait for its"
        f" end, or end it with SELECT pg_terminate_backend({process}), then migrate again"
    )
