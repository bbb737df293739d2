"""The service's promises: row-level security with the user's identity in each transaction, a JSON
log line for each request, and problem documents for failures.
"""

import hashlib
import time
import uuid
from functools import partialmethod
from typing import Any

import asyncpg
import orjson
import structlog
from litestar.plugins.problem_details import ProblemDetailsConfig, ProblemDetailsPlugin

PROBLEMS = ProblemDetailsPlugin(ProblemDetailsConfig(enable_for_all_http_exceptions=True))
structlog.configure(  # structlog's own advice for speed
    cache_logger_on_first_use=True,
    wrapper_class=structlog.make_filtering_bound_logger("info"),
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.JSONRenderer(serializer=orjson.dumps),
    ],
    logger_factory=structlog.BytesLoggerFactory(),
)
log = structlog.get_logger()


class OwnRows:
    """The pool limited to a user's rows. asyncpg waits for each of the four answers."""

    def __init__(self, pool: asyncpg.Pool, user: str) -> None:
        self._pool = pool
        self._user = user

    async def _run(self, method: str, sql: str, *values: Any) -> Any:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.fetchval("SELECT set_config('app.user_id', $1, true)", self._user)
            return await getattr(connection, method)(sql, *values)

    fetch = partialmethod(_run, "fetch")
    fetchrow = partialmethod(_run, "fetchrow")
    execute = partialmethod(_run, "execute")


def hashed(user: str) -> str:
    return hashlib.blake2b(user.encode(), key=b"salt", digest_size=8).hexdigest()


class AccessLog:
    """Writes a line after each response."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def watched(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self._app(scope, receive, watched)
        user = scope.get("user")
        log.info(
            "request",
            request_id=uuid.uuid4().hex,
            method=scope["method"],
            route=scope.get("path_template"),
            status=status,
            duration_ms=round((time.perf_counter() - started) * 1000, 2),
            user=user and hashed(user),
        )
