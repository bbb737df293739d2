"""Export and erasure of a user's account."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, BinaryIO

import orjson

from tasks_backend.db.connection import Row
from tasks_backend.db.database import Database
from tasks_backend.db.failures import DatabaseFailure
from tasks_backend.db.pool import Pool
from tasks_backend.db.statements import Statement
from tasks_backend.errors import ApiError
from tasks_backend.http.caller import Caller
from tasks_backend.tasks.account_statements import (
    CREATED_AT,
    ERASE,
    PLUGIN_SCHEMA_PREFIX,
    PLUGIN_TABLES,
    user_rows,
)
from tasks_backend.tasks.list_statements import PAGES, Page
from tasks_backend.tasks.statements import FIELDS

CONNECT_TIMEOUT = 5.0  # seconds
TIMEOUT = 60.0  # seconds, for each message
PAGE = 1000  # tasks; about 10 MB at 10,000 characters each
_NEXT_PAGE = PAGES[Page("asc", after=True)]
_LOWEST_ID = str(uuid.UUID(int=0))


class AccountError(Exception):
    """The export or erasure failed. The message is for the operator."""


async def erase(url: str, user_id: str) -> int | None:
    """Erase a user with all their rows, in one transaction.

    Returns the number of erased tasks, or None for an unknown user. Raises AccountError.
    """
    async with _account(url, user_id) as account:
        rows = await account.run(ERASE)
    return int(rows[0][0]) if rows else None


async def export(
    url: str, user_id: str, out: BinaryIO, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Write a user with all tasks, oldest first, and their plugin rows, as one JSON document.

    Memory holds one page of tasks at a time. Each page is read in its own transaction.
    `progress` is called after each page with the number of tasks written so far.
    Raises AccountError, for an unknown user before anything is written; OSError if the file cannot
    be written.
    """
    async with _account(url, user_id) as account:
        rows = await account.run(CREATED_AT)
        if not rows:
            raise AccountError("there is no such user: nobody of this id has ever made a task")
        head = orjson.dumps({"id": user_id, "created_at": rows[0][0]}, option=orjson.OPT_UTC_Z)
        out.write(head.removesuffix(b"}") + b',"tasks":[')
        after, separator, written = _LOWEST_ID, b"\n", 0
        while page := await account.run(_NEXT_PAGE, after=after, completed=None, limit=PAGE):
            for row in page:
                task = dict(zip(FIELDS, row, strict=False))  # the version is not shown
                out.write(separator + orjson.dumps(task, option=orjson.OPT_UTC_Z))
                separator = b",\n"
            after, written = page[-1][0], written + len(page)
            progress(written)
        out.write(b"\n]")
        if plugins := await _plugin_rows(account):
            out.write(b',"plugins":' + orjson.dumps(plugins))
        out.write(b"}\n")


async def _plugin_rows(account: "_Account") -> dict[str, dict[str, list[orjson.Fragment]]]:
    """Return the user's rows by plugin and table, without pages: only tasks are that many."""
    rows_by_table: dict[str, dict[str, list[orjson.Fragment]]] = defaultdict(dict)
    for schema, table in await account.run(PLUGIN_TABLES):
        rows = await account.run(user_rows(schema, table))
        rows_by_table[schema.removeprefix(PLUGIN_SCHEMA_PREFIX)][table] = [
            orjson.Fragment(row) for (row,) in rows
        ]
    return rows_by_table


class _Account:
    """One user's rows, accessed as in a request of that user."""

    def __init__(self, database: Database, user_id: str) -> None:
        self._database = database
        self._user_id = user_id

    async def run(self, statement: Statement, **parameters: Any) -> list[Row]:
        deadline = asyncio.get_running_loop().time() + TIMEOUT
        caller = Caller(self._user_id, deadline)
        try:
            return await self._database.run(statement, caller, **parameters)
        except (ApiError, DatabaseFailure) as error:
            cause = error.__cause__ or error
            raise AccountError(
                f"the database did not do it: {cause}; `tasks-backend doctor` says more"
            ) from error


@asynccontextmanager
async def _account(url: str, user_id: str) -> AsyncIterator[_Account]:
    pool = Pool(url, size=1, wait=TIMEOUT, connect_timeout=CONNECT_TIMEOUT)
    database = Database(pool, statement_timeout=TIMEOUT)
    try:
        yield _Account(database, user_id)
    finally:
        database.close()
