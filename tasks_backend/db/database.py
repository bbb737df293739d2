"""One request, one message: a statement sent as its caller, within the request's deadline."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request

from tasks_backend.db.connection import Row
from tasks_backend.db.disconnect import cancel_on_disconnect
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.pool import Pool
from tasks_backend.db.readiness import Readiness
from tasks_backend.db.retries import ATTEMPTS, RetryBudget, pause
from tasks_backend.db.statements import CALLER, STATEMENT_TIMEOUT, Statement
from tasks_backend.errors import DatabaseUnavailable, DeadlineExceeded
from tasks_backend.http.caller import Caller, require_caller

logger = logging.getLogger("tasks_backend.db")

WAY_BACK = 0.05  # seconds of a request's time that are kept for the network, both ways

_HARMLESS = {Failure.NOT_SENT, Failure.ROLLED_BACK}
_AWAY = {Failure.NOT_SENT, Failure.OUTCOME_UNKNOWN, Failure.REFUSED}
_FOR_A_PERSON = {Failure.CONFIGURATION, Failure.REFUSED}


class LockTimeout(DatabaseUnavailable):
    """Another transaction holds what the statement needs, for longer than it may wait."""


class Database:
    """The service's database. Errors are those of `tasks_backend.errors`, ready to be answered."""

    def __init__(
        self,
        pool: Pool,
        *,
        statement_timeout: float,
        migration_histories: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.pool = pool
        self.readiness = Readiness(pool, migration_histories or {})
        self._statement_timeout = statement_timeout
        self._retries = RetryBudget()

    async def run(self, statement: Statement, caller: Caller, /, **parameters: Any) -> list[Row]:
        """Send one statement as the caller and return its rows.

        No parameter replaces a literal of the statement or the identity: `user_id` is the caller's.
        Raises DatabaseUnavailable, Overloaded or DeadlineExceeded (FR-012), and LockTimeout; and
        ClientDisconnect if the caller has gone away, who then leaves the line.
        """
        parameters |= statement.fixed
        parameters[CALLER] = caller.user_id
        try:
            async with asyncio.timeout_at(caller.deadline):
                with cancel_on_disconnect(caller.disconnected):
                    rows = await self._persist(statement, caller, parameters)
        except TimeoutError:
            self.readiness.doubt()
            logger.warning("a statement did not finish by its deadline")
            raise DeadlineExceeded from None
        except DatabaseFailure as failure:
            if failure.failure in _AWAY:
                self.readiness.doubt()
            raise _answer(failure) from failure
        self.readiness.trust()
        self._retries.earn()
        return rows

    async def _persist(
        self, statement: Statement, caller: Caller, parameters: dict[str, Any]
    ) -> list[Row]:
        """Send the statement; send it again where that is harmless, affordable and in time."""
        loop = asyncio.get_running_loop()
        retried = _HARMLESS | {Failure.OUTCOME_UNKNOWN} if statement.idempotent else _HARMLESS
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self.pool.fetch(
                    statement.message,
                    parameters,
                    user=caller.user_id,
                    when_sent=partial(self._time_limit, caller.deadline),
                )
            except DatabaseFailure as failure:
                delay = pause(attempt)
                if (
                    failure.failure not in retried
                    or attempt == ATTEMPTS
                    or loop.time() + delay > caller.deadline
                    or not self._retries.spend()
                ):
                    raise
            await asyncio.sleep(delay)

    def _time_limit(self, deadline: float) -> dict[str, object]:
        """Return the time that a statement has which is sent now, so that none outlives the request.

        Raises DeadlineExceeded if there is none.
        """
        left = deadline - asyncio.get_running_loop().time() - WAY_BACK
        if left <= 0:
            raise DeadlineExceeded
        milliseconds = max(1, int(min(self._statement_timeout, left) * 1000))
        return {STATEMENT_TIMEOUT: str(milliseconds)}

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self.pool.close()


class CallerDatabase:
    """The database as one caller sees it: their rows, until their deadline."""

    def __init__(self, database: Database, caller: Caller) -> None:
        self._database = database
        self.caller = caller

    async def run(self, statement: Statement, /, **parameters: Any) -> list[Row]:
        """Send one statement; `user_id` is always the caller's. Errors: see `Database.run`."""
        return await self._database.run(statement, self.caller, **parameters)


def install(app: Any, database: Database) -> None:
    """Make the database the one that this application's requests use."""
    app.state.database = database


async def _caller_database(request: Request) -> CallerDatabase:
    return CallerDatabase(request.app.state.database, require_caller(request.scope))


OwnRows = Annotated[CallerDatabase, Depends(_caller_database)]
"""What a route asks for to reach the caller's own rows."""


def _answer(failure: DatabaseFailure) -> Exception:
    if failure.failure is Failure.LOCKED:
        return LockTimeout()
    if failure.failure is Failure.TIMED_OUT:
        return DeadlineExceeded()
    if failure.failure is Failure.UNEXPECTED:
        return failure
    level = logging.ERROR if failure.failure in _FOR_A_PERSON else logging.WARNING
    logger.log(level, "the database failed: %s", failure)
    return DatabaseUnavailable()
