"""Whether the database can be worked with: asked while it is awake, remembered while it may sleep.

A probe that asked every time would keep a compute that scales to zero awake, and billed, for ever.
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

AWAKE = 60.0  # seconds after its last use in which a database is asked; Neon suspends after 300


class Readiness:
    """What is known of the database, from what requests met and from asking it.

    `histories` has the revisions of plugins' schemas, oldest first.
    """

    def __init__(self, pool: Pool, migration_histories: Mapping[str, tuple[str, ...]]) -> None:
        self._pool = pool
        self._histories = {SCHEMA: REVISIONS, **migration_histories}
        self._ready = False
        self._used_at = -math.inf
        self._asking: asyncio.Task[None] | None = None

    def trust(self) -> None:
        """Note that a request was served."""
        self._used_at = asyncio.get_running_loop().time()

    def doubt(self) -> None:
        """Note that the database could not be reached: the next probe asks."""
        self._ready = False

    async def check(self, *, timeout: float) -> None:
        """Raise DatabaseUnavailable, within `timeout` seconds, unless a caller's message would work:
        the schema is the one that this code is written for, or a later one, the role has its
        rights, and row-level security binds it.
        """
        if self._ready and asyncio.get_running_loop().time() - self._used_at > AWAKE:
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(timeout))
        await asyncio.shield(self._asking)  # of many probes at once, one asks
        if not self._ready:
            raise DatabaseUnavailable

    async def _ask(self, timeout: float) -> None:
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
            self._pool.close()  # a new connection chooses its role anew, or is refused
        if ready and not self._ready:
            self.trust()  # it has just come: look again while it is awake anyway
        self._ready = ready

    async def _is_usable(
        self, schema: str, history: tuple[str, ...], sql: str, limit: dict[str, object]
    ) -> bool:
        """Return whether a schema, the service's or a plugin's, has what this code needs.

        A revision that it does not know is a later release's, whose migration leaves what this
        one needs: it is made while this one still serves.
        """
        found = None
        try:
            for found, *missing in await self._pool.fetch(sql, limit):
                if any(missing):
                    logger.error("a caller's message does not work: missing %s", *missing)
                    return False
                if found not in history[:-1]:
                    return True
        except DatabaseFailure as failure:
            if failure.failure is not Failure.CONFIGURATION:  # as if it is not there at all
                raise
            logger.warning(
                "the schema %s is not at revision %s, or a right is missing (%s):"
                " run `tasks-backend migrate`, or `tasks-backend doctor`",
                *(schema, history[-1], failure),
            )
            return False
        logger.warning(
            "the schema %s is not at revision %s but at %s: run `tasks-backend migrate`",
            *(schema, history[-1], found),
        )
        return False
