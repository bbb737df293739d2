"""Export and erasure of a user's account."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
from tasks_backend.tasks.list_statements import PAGES, PageForm, listed_task
from tasks_backend.tasks.move_statements import MOVE

CONNECT_TIMEOUT = 5.0  # seconds
TIMEOUT = 60.0  # seconds, for each message
MOVE_TIMEOUT = 600.0  # seconds; all tasks in one message
PAGE = 1000  # tasks; about 10 MB at 10,000 characters each
_NEXT_PAGE = PAGES[PageForm("asc", after=True)]
_LOWEST_ID = str(uuid.UUID(int=0))


class AccountError(Exception):
    """The export, erasure or move failed. The message is for the operator."""


@dataclass(frozen=True)
class Erased:
    """How much an erasure deleted. Users who did not exist are not counted."""

    users: int
    tasks: int


async def erase(
    url: str, user_ids: Sequence[str], progress: Callable[[int], None] = lambda _: None
) -> Erased:
    """Erase users with all their rows, each user in a transaction of their own.

    `progress` is called after each user with the number of users done. Raises AccountError.
    """
    tasks = []
    async with _database(url, TIMEOUT) as database:
        for done, user_id in enumerate(user_ids, start=1):
            rows = await _Account(database, user_id, TIMEOUT).run(ERASE)
            tasks += [int(count) for (count,) in rows]
            progress(done)
    return Erased(len(tasks), sum(tasks))


@dataclass(frozen=True)
class Moved:
    """What a move did."""

    tasks: int
    rows: int
    """Rows in plugins' tables."""
    kept: list[str]
    """Plugins' tables whose rows stay with the first user."""


async def move(url: str, source: str, target: str) -> Moved | None:
    """Give all tasks of a user, and rows of plugins, to another user, in one transaction.

    Ids, times and versions stay. What the first user writes later is theirs; a second move takes
    it along. Returns None if the first user has nothing. Raises AccountError.
    """
    async with _database(url, MOVE_TIMEOUT) as database:
        account = _Account(database, source, MOVE_TIMEOUT)
        ((result,),) = await account.run(MOVE, target=target)
    if result is None:
        return None
    found = orjson.loads(result)
    if blockers := found.get("blockers"):
        raise AccountError(
            f"rows of {blockers} may reference the tasks, and would be lost: requests must have the"
            " rights to read, insert and delete them, and their table a column user_id"
        )
    return Moved(**found)


async def export(
    url: str, user_id: str, out: BinaryIO, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Write a user with all tasks, oldest first, and their plugin rows, as one JSON document.

    Memory holds one page of tasks at a time. Each page is read in its own transaction.
    `progress` is called after each page with the number of tasks written so far.
    Raises AccountError, for an unknown user before anything is written; OSError if the file cannot
    be written.
    """
    async with _database(url, TIMEOUT) as database:
        account = _Account(database, user_id, TIMEOUT)
        rows = await account.run(CREATED_AT)
        if not rows:
            raise AccountError("there is no such user")
        head = orjson.dumps({"id": user_id, "created_at": rows[0][0]}, option=orjson.OPT_UTC_Z)
        out.write(head.removesuffix(b"}") + b',"tasks":[')
        after, separator, written = _LOWEST_ID, b"\n", 0
        while page := await account.run(_NEXT_PAGE, after=after, completed=None, limit=PAGE):
            for row in page:
                out.write(separator + orjson.dumps(listed_task(row)))
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

    def __init__(self, database: Database, user_id: str, timeout: float) -> None:
        self._database = database
        self._user_id = user_id
        self._timeout = timeout

    async def run(self, statement: Statement, **parameters: Any) -> list[Row]:
        deadline = asyncio.get_running_loop().time() + self._timeout
        caller = Caller(self._user_id, deadline)
        try:
            return await self._database.run(statement, caller, **parameters)
        except (ApiError, DatabaseFailure) as error:
            cause = error.__cause__ or error
            raise AccountError(
                f"the database did not do it: {cause}; `tasks-backend doctor` says more"
            ) from error


@asynccontextmanager
async def _database(url: str, timeout: float) -> AsyncIterator[Database]:
    pool = Pool(url, size=1, wait=timeout, connect_timeout=CONNECT_TIMEOUT)
    database = Database(pool, statement_timeout=timeout)
    try:
        yield database
    finally:
        database.close()
