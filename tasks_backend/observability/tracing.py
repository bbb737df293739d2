"""The plugin `tracing`: a span for each request, with a child span for each database call.

Spans are sent by OTLP over HTTP. OpenTelemetry's OTEL_* variables configure it. Names and
attributes follow its semantic conventions for HTTP servers and databases. Spans contain no SQL,
query string, header or user. They contain the path only if a route matches: a mistyped path may be
a token.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from tasks_backend._version import __version__
from tasks_backend.http.request_record import DatabaseCall, RequestRecord, get_record
from tasks_backend.observability.extra import require_extra
from tasks_backend.plugin import Plugin, PluginError

with require_extra("tracing"):
    from opentelemetry import propagate, trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

FLUSH_TIMEOUT = 3.0  # seconds for sending the last spans when the service stops
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "_OTHER"
NANOSECONDS = 1_000_000_000  # in a second
SERVER_ERROR = 500
SUPPORTED = {
    "OTEL_TRACES_EXPORTER": ("otlp", "none"),
    "OTEL_EXPORTER_OTLP_PROTOCOL": ("http/protobuf",),
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": ("http/protobuf",),
}
"""The values of OpenTelemetry's variables with which spans can be sent."""


class TracingMiddleware:
    """Record a span for each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as part of the caller's trace."""
        tracer: trace.Tracer | None = getattr(scope["app"].state, "tracer", None)
        if scope["type"] != "http" or tracer is None:
            await self.app(scope, receive, send)
            return
        fields = propagate.get_global_textmap().fields
        headers = ((name.decode("latin-1"), value) for name, value in scope["headers"])
        carrier = {name: value.decode("latin-1") for name, value in headers if name in fields}
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
            record_exception=False,  # its text may contain user data
            set_status_on_exception=False,
        ) as span:
            try:
                await self.app(scope, receive, send)
            finally:
                if (record := get_record()) is not None and span.is_recording():
                    _describe(span, scope, record)
                    for call in record.database_calls:
                        _add_span(tracer, call)


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


def _add_span(tracer: trace.Tracer, call: DatabaseCall) -> None:
    """Add a finished database call to the current span, with its recorded times."""
    started = int(call.started_at * NANOSECONDS)
    span = tracer.start_span(
        f"postgresql {call.kind}",
        kind=trace.SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql"},
        start_time=started,
    )
    if call.outcome != "ok":
        span.set_attribute("error.type", call.outcome)
        span.set_status(trace.StatusCode.ERROR)
    span.end(started + int(call.duration * NANOSECONDS))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Send spans from a separate thread. A collector outage loses spans but affects no request."""
    if _is_off():
        yield
        return
    exporter = OTLPSpanExporter()
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    app.state.tracer = provider.get_tracer("tasks_backend", __version__)
    try:
        yield
    finally:
        app.state.tracer = None
        await _shut_down(provider, exporter)


async def _shut_down(provider: TracerProvider, exporter: OTLPSpanExporter) -> None:
    """Send the remaining spans, at most for FLUSH_TIMEOUT; then drop them."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        provider.shutdown()
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=stop, daemon=True).start()  # the exit would wait for a thread of a pool
    try:
        async with asyncio.timeout(FLUSH_TIMEOUT):
            await done.wait()
    except TimeoutError:
        exporter.shutdown()  # type: ignore[no-untyped-call] # the package's


def _resource() -> Resource:
    """Return the service's identity from OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES, or ours."""
    resource = Resource.create()
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        default = Resource({"service.name": "tasks_backend", "service.version": __version__})
        resource = resource.merge(default)
    return resource


def _is_off() -> bool:
    variables = {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "none"}
    return any(os.environ.get(name, "").lower() == value for name, value in variables.items())


def _check_variables() -> None:
    """Raise PluginError for what OpenTelemetry knows and this plugin does not do."""
    for name, supported in SUPPORTED.items():
        if os.environ.get(name, supported[0]).lower() not in supported:
            raise PluginError(
                f"plugin 'tracing': {name} is not supported with this value; it takes"
                f" {' or '.join(supported)}"
            )


if not _is_off():
    _check_variables()

plugin = Plugin(name="tracing", middleware=[Middleware(TracingMiddleware)], lifespan=lifespan)
