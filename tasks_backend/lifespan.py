"""What is started with the service and stopped with it: plugins first, then what they stand on."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from tasks_backend.auth.key_set import KeySet
from tasks_backend.db.database import Database
from tasks_backend.http.limiter import LIMITER, ConcurrencyLimiter
from tasks_backend.plugin import Plugin, PluginError


def lifespan(plugins: Sequence[Plugin], key_set: KeySet, database: Database) -> Lifespan[FastAPI]:
    """Return the lifespan of an application. Entering it raises PluginError, naming the plugin."""

    @asynccontextmanager
    async def entered(app: FastAPI) -> AsyncIterator[None]:
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
            yield

    return entered


class StartupErrorMiddleware:
    """Tell the server what it needs: the limiter, for refusals that cost little (decision 0017),
    and why the service does not start, in one sentence where the framework has a traceback.
    """

    def __init__(self, app: ASGIApp, limiter: ConcurrencyLimiter) -> None:
        self.app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle the lifespan; let everything else through."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        if "state" in scope:
            scope["state"][LIMITER] = self._limiter

        async def announced(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, PluginError):
                message = {**message, "message": str(error)}
            await send(message)

        await self.app(scope, receive, announced)
