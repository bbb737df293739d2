"""Readiness of the database: checked while it is in use; the last result is kept while it is idle.

A query for every probe would keep a compute that scales to zero awake, and billed.
"""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence

from tasks_backend.db.causes import MIGRATE
from tasks_backend.db.connection import Row
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.pool import Pool
from tasks_backend.db.rights_statements import READY
from tasks_backend.db.statements import REVISIONS, SCHEMA, STATEMENT_TIMEOUT, revision_of
from tasks_backend.errors import ApiError, DatabaseUnavailable

logger = logging.getLogger("tasks_backend.db")

AWAKE = 60.0  # seconds after its last use in which probes query it; Neon suspends after 300


class Readiness:
    """The state of the database, from the results of requests and from its own queries.

    `migration_histories` has the revisions of plugins' schemas, oldest first.
    """

    def __init__(self, pool: Pool, migration_histories: Mapping[str, tuple[str, ...]]) -> None:
        self._pool = pool
        self._histories = {SCHEMA: REVISIONS, **migration_histories}
        self._ready = False
        self._used_at = -math.inf
        self._running_check: asyncio.Task[None] | None = None

    def mark_healthy(self) -> None:
        """Note that a statement succeeded."""
        self._used_at = asyncio.get_running_loop().time()

    def mark_suspect(self) -> None:
        """Note that the database was not reachable: the next probe queries it."""
        self._ready = False

    async def check(self, *, timeout: float) -> None:
        """Raise DatabaseUnavailable, within `timeout` seconds, if a caller's message would fail.

        Required: this code's schema revision or a later one, and a role that has its rights and is
        restricted by row-level security.
        """
        if self._ready and asyncio.get_running_loop().time() - self._used_at > AWAKE:
            return
        if self._running_check is None or self._running_check.done():
            self._running_check = asyncio.create_task(self._run_check(timeout))
        await asyncio.shield(self._running_check)  # concurrent probes share one check
        if not self._ready:
            raise DatabaseUnavailable

    async def _run_check(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                reason = await self._shortcoming(timeout)
        except (DatabaseFailure, ApiError, TimeoutError) as failure:
            reason = str(failure) or f"no answer within {timeout:g} s"
        if reason:
            logger.warning("the database is not ready: %s", reason)
            self._pool.close()  # a new connection selects its role again, or is refused
        elif not self._ready:
            self.mark_healthy()  # it became ready just now, so it is awake: check again
        self._ready = not reason

    async def _shortcoming(self, timeout: float) -> str:
        """Return what the schemas, the service's or a plugin's, lack for this code."""
        limit: dict[str, object] = {STATEMENT_TIMEOUT: str(int(timeout * 1000))}
        for schema, history in self._histories.items():
            sql = READY if schema == SCHEMA else revision_of(schema)
            try:
                rows = await self._pool.fetch(sql, limit)
            except DatabaseFailure as failure:
                if failure.failure is not Failure.CONFIGURATION:
                    raise
                return f"the schema {schema}: {failure}"
            reasons = shortcomings(schema, history, rows)
            if any(reasons):
                return "; ".join(filter(None, reasons))
        return ""


def shortcomings(schema: str, history: tuple[str, ...], rows: Sequence[Row]) -> tuple[str, str]:
    """Return what a schema lacks, from the rows of READY or `revision_of`: a revision, and rights.

    An unknown revision is accepted: it belongs to a later release, whose migration keeps what this
    release needs, because it runs while this release still serves.
    """
    revision, *missing = rows[0] if rows else (None,)
    outdated = lacking = ""
    if revision is None or revision in history[:-1]:
        outdated = (
            f"the schema {schema} is at revision {revision or 'none'}, but this version needs"
            f" {history[-1]}: {MIGRATE}"
        )
    elif any(missing):
        lacking = f"a caller's message would fail, missing {missing[0]}: {MIGRATE}"
    return outdated, lacking
