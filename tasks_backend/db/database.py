"""One request, one message: a statement sent as its caller, within the request's deadline."""

import asyncio
import logging
import random
from typing import Annotated, Any

from fastapi import Depends, Request

from tasks_backend.caller import Caller, caller_of
from tasks_backend.db.connection import Row
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.pool import Pool
from tasks_backend.db.statements import IDENTITY, REVISION, Statement
from tasks_backend.errors import DatabaseUnavailable, DeadlineExceeded

logger = logging.getLogger("tasks_backend.db")

ATTEMPTS = 3
BACKOFF = 0.05  # seconds, doubled for each attempt, with full jitter
_HARMLESS = {Failure.NEVER_SENT, Failure.ROLLED_BACK}


class LockTimeout(DatabaseUnavailable):
    """Another transaction holds what the statement needs, for longer than it may wait."""


class Database:
    """The service's database. Errors are those of `tasks_backend.errors`, ready to be answered."""

    def __init__(self, pool: Pool, *, statement_timeout: float) -> None:
        self._pool = pool
        self._statement_timeout = statement_timeout

    async def run(self, statement: Statement, caller: Caller, **parameters: Any) -> list[Row]:
        """Send one statement as the caller and return its rows.

        Raises DatabaseUnavailable, Overloaded or DeadlineExceeded (FR-012), and LockTimeout.
        """
        loop = asyncio.get_running_loop()
        sql = IDENTITY + statement.sql
        parameters |= statement.fixed
        parameters["user_id"] = caller.user_id
        retried = _HARMLESS | {Failure.IN_DOUBT} if statement.repeatable else _HARMLESS
        attempt = 0
        try:
            async with asyncio.timeout_at(caller.deadline):
                while True:
                    attempt += 1
                    left = min(self._statement_timeout, caller.deadline - loop.time())
                    parameters["statement_timeout"] = str(max(1, int(left * 1000)))
                    try:
                        return await self._pool.fetch(sql, parameters)
                    except DatabaseFailure as failure:
                        if failure.failure not in retried or attempt == ATTEMPTS:
                            raise
                    await asyncio.sleep(random.uniform(0, BACKOFF * 2**attempt))  # noqa: S311 - jitter is no secret
        except TimeoutError:
            logger.warning("a statement did not finish by its deadline")
            raise DeadlineExceeded from None
        except DatabaseFailure as failure:
            raise _answer(failure) from failure

    async def revision(self, *, timeout: float) -> str | None:
        """Return the schema's revision. Raises DatabaseUnavailable within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                rows = await self._pool.fetch(REVISION, {})
        except (DatabaseFailure, TimeoutError) as failure:
            logger.warning("the database is not ready: %s", failure)
            raise DatabaseUnavailable from failure
        return str(rows[0][0]) if rows else None

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._pool.close()


class CallerDatabase:
    """The database as one caller sees it: their rows, until their deadline."""

    def __init__(self, database: Database, caller: Caller) -> None:
        self._database = database
        self.caller = caller

    async def run(self, statement: Statement, **parameters: Any) -> list[Row]:
        """Send one statement; `user_id` is always the caller's. Errors: see `Database.run`."""
        return await self._database.run(statement, self.caller, **parameters)


def install(app: Any, database: Database) -> None:
    """Make the database the one that this application's requests use."""
    app.state.database = database


async def _caller_database(request: Request) -> CallerDatabase:
    return CallerDatabase(request.app.state.database, caller_of(request.scope))


OwnRows = Annotated[CallerDatabase, Depends(_caller_database)]
"""What a route asks for to reach the caller's own rows."""


def _answer(failure: DatabaseFailure) -> Exception:
    if failure.failure is Failure.LOCKED:
        return LockTimeout()
    if failure.failure is Failure.TIMED_OUT:
        return DeadlineExceeded()
    if failure.failure is Failure.DEFECT:
        return failure
    level = logging.ERROR if failure.failure is Failure.CONFIGURATION else logging.WARNING
    logger.log(level, "the database failed: %s", failure)
    return DatabaseUnavailable()
