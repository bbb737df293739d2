"""The factory. Nothing happens at import; what is made here starts no thread and no connection."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Lifespan

from tasks_backend import health, openapi
from tasks_backend import settings as configuration
from tasks_backend._version import __version__
from tasks_backend.auth.gate import Limits, closed_gate, open_gate
from tasks_backend.auth.key_set import KeySet
from tasks_backend.auth.tokens import TokenVerifier
from tasks_backend.db.database import Database, install
from tasks_backend.db.pool import Pool
from tasks_backend.envelope import CatchAll, Envelope, answer
from tasks_backend.errors import MalformedJson
from tasks_backend.plugin import Plugin, PluginError, distinct, named
from tasks_backend.resource import resources
from tasks_backend.settings import Settings
from tasks_backend.tasks import plugin as tasks
from tasks_backend.validation import invalid

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = ("Authorization", "Content-Type", "If-Match", "Idempotency-Key", "X-Request-Id")
RESPONSE_HEADERS = (
    "ETag",
    "Location",
    "Link",
    "X-Request-Id",
    "Retry-After",
    "Idempotency-Replayed",
)


def create_app(
    settings: Settings | None = None, *, plugins: Iterable[Plugin] | None = None
) -> FastAPI:
    """Return the service: tasks, the plugins that the settings name, and those that are given.

    Without settings, the environment and `.env` are read. Raises SettingsError or PluginError,
    each with sentences fit to be shown. Applications share nothing; any number may live together.
    """
    settings = settings or configuration.load()
    parts = distinct([tasks, *named(settings.plugins), *(plugins or ())])
    key_set = _key_set(settings)
    database = _database(settings)
    app = FastAPI(
        title="tasks_backend",
        summary="A task list for every user of a Better Auth application.",
        version=__version__,
        docs_url="/docs" if settings.docs_enabled else None,
        openapi_url="/openapi.json" if settings.docs_enabled else None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=_middleware(settings),
        exception_handlers={HTTPException: answer, RequestValidationError: _answer_invalid},
        lifespan=_lifespan(parts, key_set, database),
    )
    verifier = _verifier(settings, key_set)
    app.state.settings, app.state.key_set, app.state.verifier = settings, key_set, verifier
    install(app, database)
    _mount(app, settings, verifier, parts)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign] # FastAPI's documented way
    return app


def _key_set(settings: Settings) -> KeySet:
    return KeySet(
        settings.keys_url,
        settings.jwt_algorithms,
        timeout=settings.jwks_timeout,
        cooldown=settings.jwks_cooldown,
        refresh_after=settings.jwks_refresh_after,
        max_age=settings.jwks_max_age,
        development=settings.takes_development_keys,
    )


def _verifier(settings: Settings, key_set: KeySet) -> TokenVerifier:
    return TokenVerifier(
        key_set,
        issuer=settings.issuer,
        audience=settings.audience,
        algorithms=settings.jwt_algorithms,
        max_bytes=settings.jwt_max_bytes,
        max_lifetime=settings.jwt_max_lifetime,
    )


def _database(settings: Settings) -> Database:
    pool = Pool(
        settings.database_url,
        size=settings.pool_size,
        wait=settings.pool_timeout,
        connect_timeout=settings.connect_timeout,
    )
    return Database(pool, statement_timeout=settings.statement_timeout)


def _middleware(settings: Settings) -> list[Middleware]:
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=METHODS,
        allow_headers=REQUEST_HEADERS,
        expose_headers=RESPONSE_HEADERS,
    )
    return [Middleware(Envelope), *([cors] if settings.cors_origins else []), Middleware(CatchAll)]


def _mount(
    app: FastAPI, settings: Settings, verifier: TokenVerifier, plugins: Sequence[Plugin]
) -> None:
    """Put every part behind its gate: closed, unless the plugin says out loud that it is public."""
    limits = Limits(settings.max_body_bytes, settings.request_timeout)
    opened, closed = open_gate(limits), closed_gate(verifier, limits)
    app.router.routes.extend(resources(health.router, opened, public=True))
    for plugin in plugins:
        gate = opened if plugin.public else closed
        for version, router in plugin.routers.items():
            prefix = f"/api/{version}/{plugin.name}"
            try:
                mounted = list(resources(router, gate, prefix=prefix, public=plugin.public))
            except Exception as error:
                raise PluginError(f"plugin {plugin.name!r} {version}: {error}") from error
            app.router.routes.extend(mounted)


def _lifespan(plugins: Sequence[Plugin], key_set: KeySet, database: Database) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(database.close)
            stack.push_async_callback(key_set.close)
            for plugin in plugins:
                if plugin.lifespan is not None:
                    await stack.enter_async_context(plugin.lifespan(app))
            yield

    return lifespan


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """Answer what FastAPI found wrong with a path, a query or a plugin's body."""
    if not isinstance(error, RequestValidationError):  # registered for nothing else
        raise error
    found = error.errors()
    if any(entry["type"] == "json_invalid" for entry in found):
        return await answer(request, MalformedJson())
    return await answer(request, invalid(found))
