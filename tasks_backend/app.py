"""The application factory. It starts no thread and opens no connection."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tasks_backend import openapi
from tasks_backend import settings as configuration
from tasks_backend._version import __version__
from tasks_backend.auth.gate import Bounds, Verifier
from tasks_backend.auth.key_set import KeySet
from tasks_backend.auth.tokens import TokenVerifier
from tasks_backend.db.database import Database
from tasks_backend.db.failures import ConstraintViolation
from tasks_backend.db.pool import Pool
from tasks_backend.errors import MalformedJson
from tasks_backend.http import access_log
from tasks_backend.http.limiter import ConcurrencyLimiter, OverloadPolicy
from tasks_backend.http.problem_details import (
    ProblemDetailsMiddleware,
    UnhandledErrorMiddleware,
    answer_http_exception,
)
from tasks_backend.http.receive import BodyReader
from tasks_backend.http.router import Router
from tasks_backend.http.validation import validation_failed
from tasks_backend.jobs.runner import JobRunner
from tasks_backend.lifespan import LifespanMiddleware, lifespan
from tasks_backend.mounting import build_routes
from tasks_backend.openapi import docs_page
from tasks_backend.plugin import (
    Plugin,
    ensure_unique_names,
    load_plugin_settings,
    load_plugins,
)
from tasks_backend.settings import Settings
from tasks_backend.tasks import plugin as tasks

# FastAPI's own telemetry exports query strings and error texts; the plugin `tracing` does not.
TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
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
    """Return the service: tasks, the plugins that the settings name, and `plugins`.

    Without settings, the environment and `.env` are read. Raises SettingsError or PluginError;
    their messages may be shown. Applications share no state; a process may hold several.
    """
    return build_app(settings or configuration.load(), plugins or ())


def build_app(
    settings: Settings,
    plugins: Iterable[Plugin],
    development: Callable[[TokenVerifier], Verifier] | None = None,
) -> FastAPI:
    """Return the service.

    Only `dev` passes `development`. This function gets the verifier of Better Auth's tokens, and returns
    one that also accepts development tokens. The page at /docs then offers some.
    """
    all_plugins = ensure_unique_names([tasks, *load_plugins(settings.plugins), *plugins])
    plugin_settings = load_plugin_settings(all_plugins)
    key_set = _key_set(settings)
    database = _database(settings, _migration_histories(all_plugins))
    bounds = _bounds(settings)
    app = FastAPI(
        title="tasks_backend",
        summary="A task list for every user of a Better Auth application.",
        version=__version__,
        openapi_url=None,  # docs_page serves the document and its page
        telemetry=TELEMETRY,
        redirect_slashes=False,
        middleware=_middleware(settings, bounds.limiter, all_plugins),
        exception_handlers={
            HTTPException: answer_http_exception,
            ConstraintViolation: _answer_violation,
            RequestValidationError: _answer_invalid,
        },
    )
    verifier = _verifier(settings, key_set)
    app.state.settings, app.state.key_set, app.state.verifier = settings, key_set, verifier
    app.state.database, app.state.plugin_settings = database, plugin_settings
    app.openapi = cache(lambda: openapi.document(app))  # type: ignore[method-assign] # FastAPI's documented way
    app.state.bounds = bounds
    page = _page(app, settings, development=development is not None)
    gate_verifier = development(verifier) if development else verifier
    routes = build_routes(all_plugins, page, gate_verifier, bounds)
    jobs = JobRunner(all_plugins, database, plugin_settings)
    app.state.jobs = jobs if settings.jobs_enabled else None
    app.router = Router(app, routes, lifespan(all_plugins, key_set, database, app.state.jobs))
    return app


def _page(app: FastAPI, settings: Settings, *, development: bool) -> list[Route]:
    """Return the routes of the document and its page; none without `docs_enabled`."""
    if not settings.docs_enabled:
        return []
    return docs_page.routes(f"{app.title} API", app.openapi, development=development)


def _key_set(settings: Settings) -> KeySet:
    return KeySet(
        settings.keys_url,
        settings.jwt_algorithms,
        timeout=settings.jwks_timeout,
        cooldown=settings.jwks_cooldown,
        refresh_after=settings.jwks_refresh_after,
        max_age=settings.jwks_max_age,
        max_waiting=max(1, settings.max_concurrent_requests // 8),
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


def _database(settings: Settings, migration_histories: Mapping[str, tuple[str, ...]]) -> Database:
    pool = Pool(
        settings.database_url,
        size=settings.pool_size,
        wait=settings.pool_timeout,
        connect_timeout=settings.connect_timeout,
    )
    return Database(
        pool, statement_timeout=settings.statement_timeout, migration_histories=migration_histories
    )


def _middleware(
    settings: Settings, limiter: ConcurrencyLimiter, plugins: Sequence[Plugin]
) -> list[Middleware]:
    """Return the middleware, outermost first."""
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=METHODS,
        allow_headers=REQUEST_HEADERS,
        expose_headers=RESPONSE_HEADERS,
    )
    prefixes = tuple(
        f"/api/{version}/{plugin.name}/".encode()
        for plugin in plugins
        if not plugin.public
        for version in plugin.routers
    )
    of_plugins = [middleware for plugin in plugins for middleware in plugin.middleware]
    return [
        Middleware(LifespanMiddleware, OverloadPolicy(limiter, prefixes)),
        Middleware(ProblemDetailsMiddleware, access_log.user_hasher(settings.pseudonym_salt)),
        *([cors] if settings.cors_origins else []),
        *([Middleware(UnhandledErrorMiddleware), *of_plugins] if of_plugins else []),
        Middleware(UnhandledErrorMiddleware),
    ]


def _bounds(settings: Settings) -> Bounds:
    limit = settings.max_concurrent_requests
    return Bounds(
        settings.request_timeout,
        ConcurrencyLimiter(limit),
        BodyReader(max_bytes=settings.max_body_bytes, max_waiting=limit),
    )


def _migration_histories(plugins: Sequence[Plugin]) -> dict[str, tuple[str, ...]]:
    """Return the Alembic revisions of each plugin's schema. Raises PluginError."""
    if not any(plugin.migrations for plugin in plugins):
        return {}
    from tasks_backend.db import migrations  # noqa: PLC0415 - imports Alembic

    return {plugin.schema: history for plugin, history in migrations.migration_histories(plugins)}


async def _answer_violation(request: Request, error: Exception) -> Response:
    """Answer a violated constraint that no route caught.

    Whether a unique, exclusion or foreign key constraint holds depends on the stored rows: 409. Any other
    violation is a bug: 500.
    """
    if getattr(error, "kind", None) not in {"unique", "exclusion", "foreign_key"}:
        raise error
    conflict = HTTPException(409, "The request conflicts with what is stored.")
    return await answer_http_exception(request, conflict)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """Answer FastAPI's validation errors of a path, a query or a plugin's body."""
    if not isinstance(error, RequestValidationError):  # registered for this type only
        raise error
    errors = error.errors()
    if any(entry["type"] == "json_invalid" for entry in errors):
        return await answer_http_exception(request, MalformedJson())
    return await answer_http_exception(request, validation_failed(errors))
