"""The plugin `tracing`: what a real collector receives, and what happens without one."""

import contextlib
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from support.collector import Collector, attributes
from support.commands import run
from support.proxy import PostgresProxy

from tasks_backend import Settings, create_app
from tasks_backend.testing.service import User, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"
TRACE, PARENT = secrets.token_hex(16), secrets.token_hex(8)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield collector


@contextlib.contextmanager
def traced(settings: Settings, signer: Signer, **changed: str) -> Iterator[User]:
    """A user of a service with tracing."""
    sub = secrets.token_hex(16)
    headers = {"Authorization": f"Bearer {signer.token(sub)}"}
    app = create_app(settings.model_copy(update={"plugins": ("tracing",), **changed}))
    with served(app) as url, httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
        yield User(sub, client)


def servers(spans: list[Span]) -> list[Span]:
    return [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]


def children(spans: list[Span], parent: Span) -> list[Span]:
    return [span for span in spans if span.parent_span_id == parent.span_id]


def test_a_request_is_a_span_in_its_callers_trace_with_its_database_calls(
    settings: Settings, signer: Signer, collector: Collector
) -> None:
    with traced(settings, signer) as user:
        answer = user.client.post(
            TASKS,
            json={"title": "Buy milk"},
            headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "mine"},
        )
        assert answer.status_code == 201
        user.read(answer.json()["id"])
    spans = collector.spans
    created, read = servers(spans)
    assert (created.name, read.name) == (f"POST {TASKS}", f"GET {TASKS}/{{task_id}}")
    assert (created.trace_id.hex(), created.parent_span_id.hex()) == (TRACE, PARENT)
    assert read.trace_id.hex() != TRACE
    assert not read.parent_span_id
    told = attributes(created)
    assert told == {
        "http.request.method": "POST",
        "http.route": TASKS,
        "http.response.status_code": "201",
        "url.path": TASKS,
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "tasks_backend.request_id": "mine",
    }
    connected, stated = children(spans, created)
    assert (connected.name, stated.name) == ("postgresql connect", "postgresql statement")
    (only,) = children(spans, read)
    for child, parent in ((connected, created), (stated, created), (only, read)):
        assert child.kind == Span.SPAN_KIND_CLIENT
        assert child.trace_id == parent.trace_id
        assert attributes(child) == {"db.system.name": "postgresql"}
        assert parent.start_time_unix_nano <= child.start_time_unix_nano
        assert child.start_time_unix_nano < child.end_time_unix_nano
    assert {resource["service.name"] for resource in collector.resources} == {"tasks_backend"}


def test_spans_contain_no_user_data(
    settings: Settings, signer: Signer, collector: Collector
) -> None:
    with traced(settings, signer) as user:
        user.create(title="a secret title")
        token = user.client.headers["authorization"].split()[1]
        user.client.get(f"{TASKS}?cursor=secret-cursor&token={token}")
        user.client.get(f"/{token}/secret-place", headers={"X-Secret": "secret-header"})
        user.client.get(TASKS, headers={"Authorization": "Bearer secret-token"})
        user.client.post(TASKS, content=b'{"secret', headers={"Content-Type": "application/json"})
    assert len(servers(collector.spans)) == 5
    names = {span.name for span in servers(collector.spans)}
    assert names == {f"POST {TASKS}", f"GET {TASKS}", "GET"}
    for told in (b"secret", b"SELECT", b"INSERT", token.encode(), user.sub.encode()):
        assert told not in collector.raw


def test_failures_are_marked_in_spans(
    settings: Settings, signer: Signer, collector: Collector, database: str
) -> None:
    with PostgresProxy(database) as proxy, traced(settings, signer, database_url=proxy.url) as user:
        proxy.refuse()
        assert user.client.get(TASKS).status_code == 503
        assert user.client.get("/nowhere").status_code == 404
    failed, missing = servers(collector.spans)
    assert attributes(failed)["error.type"] == "database_unavailable"
    assert failed.status.code == Status.STATUS_CODE_ERROR
    exchanges = children(collector.spans, failed)
    assert exchanges
    for exchange in exchanges:
        assert attributes(exchange)["error.type"] == "not_sent"
        assert exchange.status.code == Status.STATUS_CODE_ERROR
    assert missing.status.code == Status.STATUS_CODE_UNSET, (
        "the client's mistake is no error of ours"
    )
    assert attributes(missing)["tasks_backend.problem_code"] == "not_found"


def test_opentelemetrys_settings_are_used(
    settings: Settings, signer: Signer, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "todo")
    with traced(settings, signer) as user:
        user.client.get(TASKS, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})  # not sampled
        user.client.get(TASKS, headers={"traceparent": "00-nonsense-01"})
    assert len(servers(collector.spans)) == 1
    assert {resource["service.name"] for resource in collector.resources} == {"todo"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none")],
)
def test_opentelemetrys_switches_are_honoured(
    settings: Settings,
    signer: Signer,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv(name, value)
    with traced(settings, signer) as user:
        user.create()
    assert not collector.spans


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "http/protobuf"),
        ("OTEL_TRACES_EXPORTER", "otlp,console", "otlp or none"),
    ],
)
def test_what_is_not_supported_stops_the_start_with_one_sentence(
    tmp_path: Path, name: str, value: str, takes: str
) -> None:
    (tmp_path / ".env").write_text(f"PLUGINS=tracing\n{name}={value}\n")
    addresses = {"DATABASE_URL": "postgres://[::1]:1/d", "BETTER_AUTH_URL": "http://[::1]:1"}
    refused = run(tmp_path, "serve", **addresses)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"error: plugin 'tracing': {name} is not supported with this value; it takes {takes}\n"
    )
    off = run(tmp_path, "openapi", OTEL_SDK_DISABLED="true")
    assert (off.returncode, off.stderr) == (0, "")


@pytest.mark.parametrize("trouble", ["refusing", "failing", "hanging"])
def test_an_unreachable_collector_loses_spans_but_no_request(
    settings: Settings,
    signer: Signer,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    """`served` fails if the service does not stop."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    if trouble == "refusing":
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            port = nobody.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    collector.answer = 503 if trouble == "failing" else 200
    collector.hanging = trouble == "hanging"
    with traced(settings, signer) as user:
        for _ in range(60):
            assert user.client.get(TASKS).status_code == 200
    assert collector.spans == []


def test_without_the_plugin_no_span_is_sent(
    settings: Settings, signer: Signer, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by FastAPI's own telemetry either, which would include query strings."""
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    headers = {"Authorization": f"Bearer {signer.token('somebody')}"}
    with (
        served(create_app(settings)) as url,
        httpx2.Client(base_url=url, headers=headers, timeout=30) as client,
    ):
        assert client.get(f"{TASKS}?token=x").status_code == 422
    assert collector.raw == b""
