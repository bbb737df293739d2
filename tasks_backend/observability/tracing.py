"""The plugin `tracing`: a span for each request, and within it one for each exchange with the
database, sent by OTLP over HTTP.

Everything is set by OpenTelemetry's own OTEL_* variables. Names and attributes are those of its
semantic conventions for HTTP servers and databases. No SQL, no query string, no header and no user
is told; a path only where a route knows it, since what somebody mistyped may be a token.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from tasks_backend._version import __version__
from tasks_backend.http.request_record import DatabaseCall, RequestRecord, get_record
from tasks_backend.observability.extra import needed_by
from tasks_backend.plugin import Plugin

with needed_by("tracing"):
    from opentelemetry import propagate, trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

FLUSH = 3.0  # seconds that the last spans are given when the service stops
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "_OTHER"
NANO = 1_000_000_000
SERVER_ERROR = 500


class Tracing:
    """Make a span of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, in the trace that its caller is in."""
        tracer: trace.Tracer | None = getattr(scope["app"].state, "tracer", None)
        if scope["type"] != "http" or tracer is None:
            await self.app(scope, receive, send)
            return
        wanted = propagate.get_global_textmap().fields
        known = ((name.decode("latin-1"), value) for name, value in scope["headers"])
        carrier = {name: value.decode("latin-1") for name, value in known if name in wanted}
        method = scope["method"] if scope["method"] in METHODS else OTHER
        with tracer.start_as_current_span(
            "HTTP" if method == OTHER else method,
            context=propagate.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "url.scheme": scope["scheme"],
                "network.protocol.version": scope["http_version"],
            },
            start_time=time.time_ns(),
            record_exception=False,  # its text may repeat a row
            set_status_on_exception=False,
        ) as span:
            try:
                await self.app(scope, receive, send)
            finally:
                if (record := get_record()) is not None and span.is_recording():
                    _describe(span, scope, record)
                    for exchange in record.database_calls:
                        _add(tracer, exchange)


def _describe(span: trace.Span, scope: Scope, record: RequestRecord) -> None:
    route = record.route or getattr(scope.get("route"), "path", None)
    span.set_attribute("tasks_backend.request_id", record.request_id)
    if route:
        method = scope["method"] if scope["method"] in METHODS else "HTTP"
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
        span.set_attribute("url.path", scope["path"])
    if record.status is not None:
        span.set_attribute("http.response.status_code", record.status)
    if record.code is not None:
        span.set_attribute("tasks_backend.problem_code", record.code)
    if record.status is None or record.status >= SERVER_ERROR:
        reason = record.code or str(record.status or "disconnected")
        span.set_attribute("error.type", reason)
        span.set_status(trace.StatusCode.ERROR)


def _add(tracer: trace.Tracer, exchange: DatabaseCall) -> None:
    """Add an exchange to the current span, afterwards: it has been timed already."""
    started = int(exchange.started_at * NANO)
    span = tracer.start_span(
        f"postgresql {exchange.kind}",
        kind=trace.SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql"},
        start_time=started,
    )
    if exchange.outcome != "ok":
        span.set_attribute("error.type", exchange.outcome)
        span.set_status(trace.StatusCode.ERROR)
    span.end(started + int(exchange.duration * NANO))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Send spans from a thread of their own; a collector that is away costs them, and no request."""
    exporter = OTLPSpanExporter()
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    app.state.tracer = provider.get_tracer("tasks_backend", __version__)
    try:
        yield
    finally:
        app.state.tracer = None
        await _stopped(provider, exporter)


async def _stopped(provider: TracerProvider, exporter: OTLPSpanExporter) -> None:
    """Send what is left, for as long as FLUSH; then give it up."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        provider.shutdown()
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=stop, daemon=True).start()  # of a pool, the exit would wait for it
    try:
        async with asyncio.timeout(FLUSH):
            await done.wait()
    except TimeoutError:
        exporter.shutdown()  # type: ignore[no-untyped-call] # the package's


def _resource() -> Resource:
    """Return who we are: what OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say, else our name."""
    resource = Resource.create()
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        ours = Resource({"service.name": "tasks_backend", "service.version": __version__})
        resource = resource.merge(ours)
    return resource


plugin = Plugin(name="tracing", middleware=[Middleware(Tracing)], lifespan=lifespan)
