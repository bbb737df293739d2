"""Whether row-level security holds for this login: proved with two users that never come to be."""

import secrets
import uuid
from datetime import timedelta
from typing import Any

from tasks_backend.db.connection import Connection, Row
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.statements import CALLER, ROLE, SCHEMA, STATEMENT_TIMEOUT, Statement
from tasks_backend.doctor.findings import Finding, ok, problem
from tasks_backend.doctor.statements import BEGIN, CHANGED, MADE, PLANTED, ROLLBACK, SEEN, TABLES
from tasks_backend.tasks.ids import new_id

CHECK = "database.row_level_security"
REPAIR = (
    "as their owner, for each of"
    f" {', '.join(f'{SCHEMA}.{table}' for table in TABLES)}:"
    " ALTER TABLE ... ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
)
_STATEMENT_TIMEOUT = "3000"  # milliseconds, in each message


async def proof(connection: Connection, role: str, *, remedy: str) -> Finding:
    """Say what statements that forget their owner can do, sent as the service sends its own.

    Two users with a task and a key each are made by the service's own statements, in one
    transaction that is rolled back. Raises DatabaseFailure if that much does not work.
    """
    trial = _Trial(connection, role)
    await connection.fetch(BEGIN, {})
    try:
        await trial.populate()
        leaks = await trial.leaks()
    finally:
        if not connection.closed:
            await connection.fetch(ROLLBACK, {})
    if leaks:
        return problem(CHECK, f"It does not hold, {' and '.join(leaks)}: {remedy}.")
    return ok(
        CHECK,
        "It holds: of two users' rows, made and rolled back, each sees only their own, also in a"
        " statement that does not say whose rows it wants.",
    )


class _Trial:
    """Two users, of whom one does what no user may."""

    def __init__(self, connection: Connection, role: str) -> None:
        self._connection = connection
        self._role = role
        self._user, self._other = (f"doctor-{secrets.token_hex(16)}" for _ in range(2))
        self._task, self._other_task = new_id(), new_id()

    async def populate(self) -> None:
        """Give each of the two a row in every table."""
        for user, task in ((self._user, self._task), (self._other, self._other_task)):
            await self._send(MADE, user, **_new_task(task))

    async def leaks(self) -> list[str]:
        """Return what the user could do to the other, who is never named as an owner."""
        found = []
        both = {
            "id": str(self._task),
            "other_user": self._other,
            "other_task": str(self._other_task),
        }
        (seen,) = await self._send(SEEN, self._user, **both)
        found += [
            f"a user sees {'no' if rows == 0 else 'foreign'} rows of {table}"
            for table, rows in zip(TABLES, seen, strict=True)
            if rows != 1
        ]
        if await self._send(CHANGED, self._user, title="changed", **both):
            found.append("a user changes a foreign task")
        (seen,) = await self._send(SEEN, "", **both)
        if any(seen):
            found.append("whoever has no name sees rows")
        if await self._may_plant_a_task():  # last: being refused ends the transaction
            found.append("a user makes a task for another")
        return found

    async def _may_plant_a_task(self) -> bool:
        task = {"id": str(new_id()), "title": "planted", "other_user": self._other}
        try:
            await self._send(PLANTED, self._user, **task)
        except DatabaseFailure as failure:
            if failure.failure is Failure.CONFIGURATION:  # 42501, by the policy
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
