"""Readiness of the database: checked while it is in use; the last result is kept while it is idle.

A query for every probe would keep a compute that scales to zero awake, and billed.
"""

import asyncio
import logging
import math
from collections.abc import Mapping

from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.pool import Pool
from tasks_backend.db.statements import READY, REVISIONS, SCHEMA, STATEMENT_TIMEOUT, revision_of
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
        ready = True
        try:
            async with asyncio.timeout(timeout):
                for schema, history in self._histories.items():
                    sql = READY if schema == SCHEMA else revision_of(schema)
                    limit: dict[str, object] = {STATEMENT_TIMEOUT: str(int(timeout * 1000))}
                    ready = ready and await self._is_usable(schema, history, sql, limit)
        except (DatabaseFailure, ApiError, TimeoutError) as failure:
            logger.warning("the database is not ready: %s", str(failure) or "no answer in time")
            ready = False
        if not ready:
            self._pool.close()  # a new connection selects its role again, or is refused
        if ready and not self._ready:
            self.mark_healthy()  # it became ready just now, so it is awake: check again
        self._ready = ready

    async def _is_usable(
        self, schema: str, history: tuple[str, ...], sql: str, limit: dict[str, object]
    ) -> bool:
        """Return whether a schema, the service's or a plugin's, has what this code needs.

        An unknown revision is accepted: it belongs to a later release, whose migration keeps what
        this release needs, because it runs while this release still serves.
        """
        revision = None
        try:
            for revision, *missing in await self._pool.fetch(sql, limit):
                if any(missing):
                    logger.error("a caller's message does not work: missing %s", *missing)
                    return False
                if revision not in history[:-1]:
                    return True
        except DatabaseFailure as failure:
            if failure.failure is not Failure.CONFIGURATION:  # that is: the schema exists
                raise
            logger.warning(
                "the schema %s is not at revision %s, or a right is missing (%s):"
                " run `tasks-backend migrate`, or `tasks-backend doctor`",
                schema,
                history[-1],
                failure,
            )
            return False
        logger.warning(
            "the schema %s is not at revision %s but at %s: run `tasks-backend migrate`",
            schema,
            history[-1],
            revision,
        )
        return False
