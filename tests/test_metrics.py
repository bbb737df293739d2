"""The plugin `metrics`, read as by Prometheus."""

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from support.commands import process, run, serving
from support.proxy import PostgresProxy

from tasks_backend import Settings, create_app
from tasks_backend.observability.instruments import Instruments
from tasks_backend.testing.service import User, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"
ONE = f"{TASKS}/{{task_id}}"
GOOD = {"DATABASE_URL": "postgres://127.0.0.1:1/d", "BETTER_AUTH_URL": "http://localhost:3000"}
OFF = """
import sys
from tasks_backend import create_app
create_app()
ours = ("prometheus_client", "opentelemetry.sdk", "opentelemetry.exporter", "tasks_backend.observ")
loaded = {name for name in sys.modules if name.startswith(ours)} - {"tasks_backend.observation"}
assert not loaded, loaded
"""
WITHOUT_EXTRA = """
import sys
sys.modules[sys.argv.pop(1)] = None  # as if it were not installed
from tasks_backend.cli import main
main()
"""

Labels = dict[str, str]


@pytest.fixture
def user(proxy: PostgresProxy, settings: Settings, signer: Signer) -> Iterator[User]:
    """A user of a service with metrics, behind a proxy that can fail."""
    changed = {"database_url": proxy.url, "plugins": ("metrics",)}
    sub = secrets.token_hex(16)
    headers = {"Authorization": f"Bearer {signer.token(sub)}"}
    with (
        served(create_app(settings.model_copy(update=changed))) as url,
        httpx2.Client(base_url=url, headers=headers, timeout=30) as client,
    ):
        yield User(sub, client)


def samples(client: httpx2.Client) -> list[tuple[str, Labels, float]]:
    text = client.get("/metrics").text
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def value(client: httpx2.Client, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    found = samples(client)
    return sum(
        v for n, own, v in found if n == f"tasks_backend_{name}" and labels.items() <= own.items()
    )


def test_requests_are_counted_by_method_route_status_and_code(user: User) -> None:
    task = user.create()
    user.read(task["id"])
    user.client.get(f"{TASKS}/{task['id']}")
    user.client.get(f"{TASKS}/{secrets.token_hex(16)}")
    user.client.get(TASKS, headers={"Authorization": ""})
    user.client.get("/no/such/place")
    user.client.request("PROPFIND", TASKS)
    for count, labels in (
        (1, {"method": "POST", "route": TASKS, "status": "201", "code": ""}),
        (2, {"method": "GET", "route": ONE, "status": "200", "code": ""}),
        (1, {"method": "GET", "route": ONE, "status": "404", "code": "task_not_found"}),
        (1, {"method": "GET", "route": TASKS, "status": "401", "code": "missing_token"}),
        (1, {"method": "GET", "route": "none", "status": "404", "code": "not_found"}),
        (1, {"method": "_OTHER", "status": "405", "code": "method_not_allowed"}),
    ):
        assert value(user.client, "requests_total", **labels) == count, labels
        del labels["code"]
        assert value(user.client, "request_duration_seconds_count", **labels) == count
    assert value(user.client, "requests_in_progress") == 1, "the one that asks"


def test_database_calls_failures_and_retries_are_counted(user: User, proxy: PostgresProxy) -> None:
    user.create()
    user.client.get(TASKS)
    seen = "database_exchange_duration_seconds_count"
    assert value(user.client, seen, kind="connect", outcome="ok") == 1
    assert value(user.client, seen, kind="statement", outcome="ok") == 2
    assert value(user.client, "database_wait_seconds_count") == 2
    assert value(user.client, "database_connections", state="idle") == 1
    assert value(user.client, "database_connections", state="in_use") == 0
    assert value(user.client, "database_waiting") == 0
    assert value(user.client, "database_retries_total") == 0
    assert value(user.client, "key_set_fetches_total", outcome="ok") == 1
    assert 0 <= value(user.client, "key_set_age_seconds") < 600
    proxy.refuse()
    assert user.client.get(TASKS).status_code == 503
    failed = value(user.client, seen, kind="connect", outcome="not_sent")
    assert failed >= 2
    assert value(user.client, "database_retries_total", failure="not_sent") >= failed - 1
    refused = {"route": TASKS, "status": "503", "code": "database_unavailable"}
    assert value(user.client, "requests_total", **refused) == 1


def test_labels_have_few_values_and_no_user_data(user: User) -> None:
    task = user.create()
    for path in ("/somebodys/secret", f"{TASKS}/{task['id']}", f"{TASKS}?cursor=secret"):
        user.client.get(path)
    text = user.client.get("/metrics").text
    for told in (user.sub, task["id"], "secret", "Buy milk"):
        assert told not in text
    names = {label for _, labels, _ in samples(user.client) for label in labels}
    allowed = {"method", "route", "status", "code", "kind", "outcome", "failure", "state", "le"}
    assert names <= allowed


def test_the_format_follows_the_accept_header(user: User) -> None:
    assert user.client.get("/metrics").headers["content-type"].startswith("text/plain")
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = user.client.get("/metrics", headers=wanted)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert user.client.get("/metrics", headers={"Authorization": ""}).status_code == 200


def test_each_worker_reports_the_metrics_of_both(
    tmp_path: Path, environment: dict[str, str], signer: Signer
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    left_behind = shared / f"gauge_livesum_{_ended_pid()}.db"
    left_behind.touch()
    (tmp_path / ".env").write_text(f"PLUGINS=metrics\nPROMETHEUS_MULTIPROC_DIR='{shared}'\n")
    with serving(tmp_path, "--workers", "2", **environment) as base:
        assert not left_behind.exists()
        headers = {"Authorization": f"Bearer {signer.token(secrets.token_hex(16))}"}
        sent = 0
        while len(list(shared.glob("counter_*.db"))) < 2 or sent < 20:
            assert httpx2.get(base + TASKS, headers=headers).status_code == 200
            sent += 1
            assert sent < 2000, "one worker gets everything"
        for _ in range(6):  # each on a new connection, to either worker
            with httpx2.Client(base_url=base) as client:
                assert value(client, "requests_total", route=TASKS, status="200") == sent
    assert not list(shared.glob("gauge_live*.db")), "what stopped workers held is forgotten"


def _ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(30)
    return process.pid


def test_a_disabled_plugin_imports_nothing(tmp_path: Path) -> None:
    result = run(tmp_path, command=(sys.executable, "-c", OFF), **GOOD)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("plugin", "missing"),
    [("metrics", "prometheus_client"), ("tracing", "opentelemetry.sdk.resources")],
)
def test_without_the_extra_the_start_fails_with_one_sentence(
    tmp_path: Path, plugin: str, missing: str
) -> None:
    program = (sys.executable, "-c", WITHOUT_EXTRA, missing)
    result = run(tmp_path, "serve", command=program, **GOOD, PLUGINS=plugin)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: plugin '{plugin}' needs the extra `observability` ({missing} is missing): "
        "pip install 'tasks-backend[observability]'\n"
    )


def test_several_workers_without_a_shared_directory_are_reported(tmp_path: Path) -> None:
    with process(tmp_path, "--workers", "2", **GOOD, PLUGINS="metrics") as service:
        log = service.program.log.read_text()
    assert "each scrape of /metrics shows one worker only: set PROMETHEUS_MULTIPROC_DIR" in log


def test_an_invalid_shared_directory_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    result = run(tmp_path, "serve", **GOOD, PLUGINS="metrics", PROMETHEUS_MULTIPROC_DIR=nowhere)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: plugin 'metrics': PROMETHEUS_MULTIPROC_DIR is not a writable directory\n"
    )


def test_the_document_lists_exactly_the_metrics_with_their_labels() -> None:
    text = (Path(__file__).parents[1] / "docs/observability.md").read_text()
    rows = re.findall(r"^\| `tasks_backend_(\w+)` \| (.*?) ?\| ", text, re.MULTILINE)
    listed = {name: re.findall(r"`(\w+)`", labels) for name, labels in rows}
    instruments = [
        part for part in vars(Instruments()).values() if isinstance(part, MetricWrapperBase)
    ]
    shown = {}
    for instrument in instruments:
        (family,) = instrument.describe()
        name = family.name.removeprefix("tasks_backend_")
        shown[name + "_total" * (family.type == "counter")] = list(instrument._labelnames)  # noqa: SLF001 - no public way
    assert listed == shown
