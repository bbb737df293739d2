"""The plugin `metrics`: `GET /metrics` in Prometheus' text format, or OpenMetrics on request.

With several workers, PROMETHEUS_MULTIPROC_DIR names a directory that they share. It must be empty
when the service starts. Every worker then reports the metrics of all.
"""

import contextlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from tasks_backend.http.request_record import RequestRecord, get_record
from tasks_backend.observability.extra import require_extra
from tasks_backend.observability.instruments import Instruments
from tasks_backend.plugin import Plugin, PluginError

with require_extra("metrics"):
    from prometheus_client import CollectorRegistry, multiprocess
    from prometheus_client.exposition import choose_encoder

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "_OTHER"  # OpenTelemetry's name for an unknown method
MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"
_METRICS = "tasks_backend.metrics"

router = APIRouter()


class MetricsMiddleware:
    """Count each request when it ends."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.instruments = Instruments()
        self._is_shared = MULTIPROC_DIR in os.environ
        self._refused = 0
        self._fetches: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan" and (jobs := scope["app"].state.jobs) is not None:
            jobs.observers.append(self._count_run)
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope[_METRICS] = self
        began = time.perf_counter()
        self.instruments.in_progress.inc()
        try:
            await self.app(scope, receive, send)
        finally:
            self.instruments.in_progress.dec()
            if (record := get_record()) is not None:
                self._count(scope, record, time.perf_counter() - began)
            if self._is_shared:  # another worker may answer the next GET /metrics
                self.collect(scope["app"])

    def _count_run(self, job: str, outcome: str, duration: float) -> None:
        self.instruments.jobs.labels(job, outcome).observe(duration)

    def _count(self, scope: Scope, record: RequestRecord, duration: float) -> None:
        method = record.method if record.method in METHODS else OTHER
        route = record.route or getattr(scope.get("route"), "path", "none")
        status = str(record.status or "none")
        to = self.instruments
        to.requests.labels(method, route, status, record.code or "").inc()
        to.duration.labels(method, route, status).observe(duration)
        if record.database_calls:
            to.waited.observe(record.waited)
        for number, call in enumerate(record.database_calls, 1):
            to.database_calls.labels(call.kind, call.outcome).observe(call.duration)
            failed = call.kind != "ping" and call.outcome not in {"ok", "cancelled"}
            if failed and number < len(record.database_calls):
                to.retries.labels(call.outcome).inc()

    def collect(self, app: FastAPI) -> None:
        """Copy the numbers of the pool, the limiter and the key set."""
        pool, key_set = app.state.database.pool, app.state.key_set
        to = self.instruments
        to.connections.labels("idle").set(pool.idle)
        to.connections.labels("in_use").set(pool.semaphore.held)
        to.waiting.set(pool.semaphore.waiting)
        to.key_set_age.set(-1 if key_set.age is None else key_set.age)
        limiter, bodies = app.state.bounds.limiter, app.state.bounds.bodies
        to.places.labels("free").set(limiter.left)
        to.places.labels("in_use").set(limiter.limit - limiter.left)
        to.senders.set(limiter.senders)
        to.bodies.set(bodies.waiting)
        to.refused.inc(limiter.refused - self._refused)
        self._refused = limiter.refused
        for outcome, count in key_set.fetches.items():
            to.key_set_fetches.labels(outcome).inc(count - self._fetches.get(outcome, 0))
            self._fetches[outcome] = count


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Return the metrics of all workers."""
    middleware: MetricsMiddleware = request.scope[_METRICS]
    middleware.collect(request.app)
    registry = middleware.instruments.registry
    if MULTIPROC_DIR in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # the package's
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": media_type})


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Remove the gauges of dead workers at the start, and its own at the stop."""
    if MULTIPROC_DIR in os.environ:
        _remove_dead_workers(Path(os.environ[MULTIPROC_DIR]))
    yield
    if MULTIPROC_DIR in os.environ:
        multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call] # the package's


def _remove_dead_workers(directory: Path) -> None:
    for path in directory.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not _is_alive(pid):
            with contextlib.suppress(FileNotFoundError):  # another starting worker removed it
                multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call] # the package's


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if MULTIPROC_DIR in os.environ and not os.access(os.environ[MULTIPROC_DIR], os.W_OK | os.X_OK):
    raise PluginError(f"plugin 'metrics': {MULTIPROC_DIR} is not a writable directory")

plugin = Plugin(
    name="metrics", operations=router, middleware=[Middleware(MetricsMiddleware)], lifespan=lifespan
)
