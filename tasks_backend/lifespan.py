"""Start and stop of the service: jobs stop first, then plugins, the key set and the database."""

import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from tasks_backend.auth.key_set import KeySet
from tasks_backend.db.database import Database
from tasks_backend.http.limiter import OVERLOAD_POLICY, OverloadPolicy
from tasks_backend.jobs.runner import JobRunner
from tasks_backend.plugin import Plugin, PluginError
from tasks_backend.settings import environment

logger = logging.getLogger("tasks_backend.lifespan")


def lifespan(
    plugins: Sequence[Plugin], key_set: KeySet, database: Database, jobs: JobRunner | None
) -> Lifespan[FastAPI]:
    """Return an application's lifespan. Entering it raises PluginError with the plugin's name."""

    @asynccontextmanager
    async def run_lifespan(app: FastAPI) -> AsyncIterator[None]:
        if inherited := environment.libpq_variables():
            logger.warning(
                "libpq takes from the environment what DATABASE_URL does not say: %s",
                ", ".join(inherited),
            )
        async with AsyncExitStack() as stack:
            stack.callback(database.close)
            stack.push_async_callback(key_set.close)
            for plugin in plugins:
                if plugin.lifespan is not None:
                    try:
                        await stack.enter_async_context(plugin.lifespan(app))
                    except Exception as error:
                        raise PluginError(
                            plugin.error_message("its lifespan failed", error)
                        ) from error
            if jobs is not None:
                await stack.enter_async_context(jobs.running())
            yield

    return run_lifespan


class LifespanMiddleware:
    """Give the server the overload policy, for cheap refusals (decision 0017), and a PluginError at the
    start as one sentence instead of the framework's traceback.
    """

    def __init__(self, app: ASGIApp, overload: OverloadPolicy) -> None:
        self.app = app
        self._overload = overload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle the lifespan; pass everything else on."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        if "state" in scope:
            scope["state"][OVERLOAD_POLICY] = self._overload

        async def send_short_error(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, PluginError):
                message = {**message, "message": str(error)}
            await send(message)

        await self.app(scope, receive, send_short_error)
