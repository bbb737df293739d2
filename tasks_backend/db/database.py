"""One message per request: a statement, sent with the caller's identity, within the deadline."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request

from tasks_backend.db.causes import DEADLINE
from tasks_backend.db.classification import failure_of
from tasks_backend.db.connection import Row
from tasks_backend.db.disconnect import cancel_on_disconnect
from tasks_backend.db.failure_log import UNREACHABLE, FailureLog
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.pool import Pool
from tasks_backend.db.readiness import Readiness
from tasks_backend.db.retries import ATTEMPTS, RetryBudget, pause
from tasks_backend.db.statements import CALLER, STATEMENT_TIMEOUT, Statement
from tasks_backend.errors import (
    ApiError,
    DatabaseUnavailable,
    DeadlineExceeded,
    UnstorableValue,
)
from tasks_backend.http.caller import Caller, require_caller

NETWORK_MARGIN = 0.05  # seconds of a request's time, reserved for the network round trip

_RAISED = {Failure.CONSTRAINT, Failure.FOREIGN_ROW, Failure.UNEXPECTED}
"""Failures that are raised as they are: no outage, so they are neither logged nor repeated here."""
_SAFE_TO_RETRY = {Failure.NOT_SENT, Failure.ROLLED_BACK}


class LockTimeout(DatabaseUnavailable):
    """Another transaction held a lock for longer than the statement may wait."""


class Database:
    """The service's database. Its errors are those of `tasks_backend.errors`, ready to send. Only a
    ConstraintViolation and an unexpected error, which is a bug, stay a DatabaseFailure.
    """

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
        self._failures = FailureLog()

    async def run(self, statement: Statement, caller: Caller, /, **parameters: Any) -> list[Row]:
        """Send one statement as the caller and return its rows.

        Parameters cannot replace a literal of the statement; `user_id` is always the caller's id. Raises
        TypeError for a missing parameter, and for a value that psycopg2 cannot send.
        Raises ConstraintViolation; DatabaseUnavailable, Overloaded, DeadlineExceeded (FR-012) or
        LockTimeout; UnstorableValue for a parameter that PostgreSQL cannot store, such as a text with
        NUL; DatabaseFailure for an unexpected error of the statement; and ClientDisconnect if the
        client disconnects, which also ends its wait for a connection.
        """
        parameters = statement.parameters(parameters)
        parameters[CALLER] = caller.user_id
        try:
            async with asyncio.timeout_at(caller.deadline):
                with cancel_on_disconnect(caller.disconnected):
                    rows = await self._run_with_retries(statement, caller, parameters)
        except TimeoutError:
            self.readiness.mark_suspect()
            self._failures.failed(failure_of(DEADLINE))
            raise DeadlineExceeded from None
        except DatabaseFailure as failure:
            if failure.failure in UNREACHABLE:
                self.readiness.mark_suspect()
            if failure.failure in _RAISED:
                raise
            self._failures.failed(failure)
            raise _api_error(failure) from failure
        if caller.counts_as_use:
            self.readiness.mark_healthy()
        self._retries.earn()
        self._failures.worked()
        return rows

    async def _run_with_retries(
        self, statement: Statement, caller: Caller, parameters: dict[str, Any]
    ) -> list[Row]:
        """Send the statement. Retry where that is safe, within the retry budget and the deadline."""
        loop = asyncio.get_running_loop()
        retryable = set(_SAFE_TO_RETRY)
        if statement.idempotent:
            retryable.add(Failure.OUTCOME_UNKNOWN)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self.pool.fetch(
                    statement.message,
                    parameters,
                    user=caller.user_id,
                    late_parameters=partial(self._time_limit, caller.deadline),
                )
            except DatabaseFailure as failure:
                delay = pause(attempt)
                if (
                    failure.failure not in retryable
                    or attempt == ATTEMPTS
                    or loop.time() + delay > caller.deadline
                    or not self._retries.spend()
                ):
                    raise
            await asyncio.sleep(delay)

    def _time_limit(self, deadline: float) -> dict[str, object]:
        """Return the timeout of a statement that is sent now: it must end before the deadline.

        Raises DeadlineExceeded if no time remains.
        """
        remaining = deadline - asyncio.get_running_loop().time() - NETWORK_MARGIN
        if remaining <= 0:
            raise DeadlineExceeded
        milliseconds = max(1, int(min(self._statement_timeout, remaining) * 1000))
        return {STATEMENT_TIMEOUT: str(milliseconds)}

    def close(self) -> None:
        """Close the idle connections."""
        self.pool.close()


class CallerDatabase:
    """The database limited to one caller: their rows, until the request's deadline."""

    def __init__(self, database: Database, caller: Caller) -> None:
        self._database = database
        self.caller = caller

    async def run(self, statement: Statement, /, **parameters: Any) -> list[Row]:
        """Send one statement; `user_id` is always the caller's. Errors: see `Database.run`."""
        return await self._database.run(statement, self.caller, **parameters)


async def _caller_database(request: Request) -> CallerDatabase:
    return CallerDatabase(request.app.state.database, require_caller(request.scope))


OwnRows = Annotated[CallerDatabase, Depends(_caller_database)]
"""The dependency that gives a route access to the caller's own rows."""


def _api_error(failure: DatabaseFailure) -> ApiError:
    if failure.failure is Failure.LOCKED:
        return LockTimeout()
    if failure.failure is Failure.TIMED_OUT:
        return DeadlineExceeded()
    if failure.failure is Failure.UNSTORABLE:
        return UnstorableValue()
    return DatabaseUnavailable()
