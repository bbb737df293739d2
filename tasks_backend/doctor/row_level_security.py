"""Check row-level security with two temporary users in a transaction that is rolled back."""

import secrets
import uuid
from datetime import timedelta
from typing import Any

from tasks_backend.db.connection import Connection, Row
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.statements import CALLER, ROLE, SCHEMA, STATEMENT_TIMEOUT, Statement
from tasks_backend.doctor.findings import Finding, ok, problem
from tasks_backend.doctor.statements import (
    BEGIN,
    COUNT_VISIBLE_ROWS,
    CREATE_ROWS,
    INSERT_FOR_OTHER,
    ROLLBACK,
    TABLES,
    UPDATE_OTHER_TASK,
)
from tasks_backend.tasks.ids import new_id

CHECK = "database.row_level_security"
REMEDY = (
    "run as the tables' owner, for each of"
    f" {', '.join(f'{SCHEMA}.{table}' for table in TABLES)}:"
    " ALTER TABLE ... ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
)
_STATEMENT_TIMEOUT = "3000"  # milliseconds, set in each message


async def check_isolation(connection: Connection, role: str, *, remedy: str) -> Finding:
    """Test statements without an owner predicate, sent like the service's own.

    The service's own statements create two users with a task and a key each, in a transaction that
    is rolled back. Raises DatabaseFailure if creating them fails.
    """
    test = _IsolationTest(connection, role)
    await connection.fetch(BEGIN, {})
    try:
        await test.populate()
        leaks = await test.leaks()
    finally:
        if not connection.closed:
            await connection.fetch(ROLLBACK, {})
    if leaks:
        return problem(CHECK, f"It does not hold ({' and '.join(leaks)}): {remedy}.")
    return ok(
        CHECK,
        "It holds: of two temporary users (rolled back), one sees and changes only their own rows,"
        " even without an owner predicate.",
    )


class _IsolationTest:
    """Two users; one tries to read and change the other's rows."""

    def __init__(self, connection: Connection, role: str) -> None:
        self._connection = connection
        self._role = role
        self._user, self._other = (f"doctor-{secrets.token_hex(16)}" for _ in range(2))
        self._task, self._other_task = new_id(), new_id()

    async def populate(self) -> None:
        """Create a row for each user in every table."""
        for user, task in ((self._user, self._task), (self._other, self._other_task)):
            await self._send(CREATE_ROWS, user, **_new_task(task))

    async def leaks(self) -> list[str]:
        """Return what one user could do to the other's rows without an owner predicate."""
        leaks = []
        both = {
            "id": str(self._task),
            "other_user": self._other,
            "other_task": str(self._other_task),
        }
        (counts,) = await self._send(COUNT_VISIBLE_ROWS, self._user, **both)
        leaks += [
            f"a user sees {'no' if rows == 0 else 'foreign'} rows of {table}"
            for table, rows in zip(TABLES, counts, strict=True)
            if rows != 1
        ]
        if await self._send(UPDATE_OTHER_TASK, self._user, title="changed", **both):
            leaks.append("a user changes a foreign task")
        (counts,) = await self._send(COUNT_VISIBLE_ROWS, "", **both)
        if any(counts):
            leaks.append("a session without a user sees rows")
        if await self._can_insert_for_other():  # last, because the error aborts the transaction
            leaks.append("a user creates a task for another")
        return leaks

    async def _can_insert_for_other(self) -> bool:
        task = {"id": str(new_id()), "title": "planted", "other_user": self._other}
        try:
            await self._send(INSERT_FOR_OTHER, self._user, **task)
        except DatabaseFailure as failure:
            if failure.failure is Failure.FOREIGN_ROW:
                return False
            raise
        return True

    async def _send(self, statement: Statement, user: str, **parameters: Any) -> list[Row]:
        identity = {
            ROLE: self._role,
            CALLER: user,
            STATEMENT_TIMEOUT: _STATEMENT_TIMEOUT,
        }
        return await self._connection.fetch(
            statement.message, {**statement.fixed, **parameters, **identity}
        )


def _new_task(task_id: uuid.UUID) -> dict[str, Any]:
    return {
        "id": str(task_id),
        "title": "doctor",
        "description": None,
        "completed": False,
        "key": "doctor",
        "fingerprint": "doctor",
        "attempt": str(uuid.uuid4()),
        "ttl": timedelta(minutes=1),
    }
