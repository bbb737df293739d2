"""An OpenTelemetry collector on loopback: receives spans by OTLP over HTTP and keeps them."""

import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tasks_backend.testing.background import Background

PATIENCE = 20  # seconds until a test that waits for spans fails


class Collector(Background):
    """Answers with the status `answer`, at first 200; while `hanging`, it does not answer."""

    def __init__(self) -> None:
        self.answer = 200
        self.hanging = False
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.raw = b""
        self._stopping = Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.hanging:
                    outer._stopping.wait(PATIENCE)
                if outer.answer == 200:
                    outer._take(body)
                self.send_response(outer.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def wait_for(self, condition: Callable[[list[Span]], bool]) -> list[Span]:
        give_up = time.monotonic() + PATIENCE
        while not condition(self.spans):
            assert time.monotonic() < give_up, [span.name for span in self.spans]
            time.sleep(0.02)
        return self.spans

    def _take(self, body: bytes) -> None:
        self.raw += body
        for told in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(attributes(told.resource))
            for scope in told.scope_spans:
                self.spans.extend(scope.spans)

    def stop(self) -> None:
        self._stopping.set()
        super().stop()


def attributes(told: Any) -> dict[str, str]:
    """The attributes of a span or a resource, as strings."""
    values = {entry.key: entry.value for entry in told.attributes}
    return {key: str(getattr(value, value.WhichOneof("value"))) for key, value in values.items()}
