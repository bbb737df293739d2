"""The operations kit in .deploy agrees with the service; `nox -s deploy` checks it with its tools."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from support.documents import SETTINGS

from tasks_backend import Settings, __version__, create_app
from tasks_backend.cli import app as command_line
from tasks_backend.db.failures import Failure
from tasks_backend.health import READY_TIMEOUT
from tasks_backend.http.resource import Resource
from tasks_backend.observability.instruments import Instruments
from tasks_backend.serving.server import SHUTDOWN_TIMEOUT

ROOT = Path(__file__).parents[1]
KIT = ROOT / ".deploy"
DOCUMENT = ROOT / "docs" / "deployment.md"
LAST_SPANS = 3  # seconds (docs/observability.md)
SMALLEST_COMPUTE = 4 * 10  # connections (docs/neon.md)

Unit = dict[str, list[str]]


@pytest.fixture(scope="module")
def service() -> FastAPI:
    """The service with its metrics."""
    return create_app(SETTINGS.model_copy(update={"plugins": ("metrics",)}))


def arguments(words: list[str]) -> dict[str, Any]:
    """What the command line understands; it must understand all of it."""
    program = typer.main.get_command(command_line)
    context = program.make_context("tasks-backend", list(words))
    name, _, rest = program.resolve_command(context, words)  # type: ignore[attr-defined] # a group's
    return program.commands[name].make_context(name, rest).params  # type: ignore[attr-defined, no-any-return] # the same


def unit(name: str) -> Unit:
    found: Unit = defaultdict(list)
    for line in (KIT / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def resources() -> dict[str, Any]:
    files = sorted(KIT.glob("kubernetes*.yaml"))
    found = [each for path in files for each in yaml.safe_load_all(path.read_text())]
    return {each["kind"]: each for each in found}


def container(resource: Any) -> Any:
    (only,) = resource["spec"]["template"]["spec"]["containers"]
    return only


def containerfile() -> dict[str, list[str]]:
    found = defaultdict(list)
    text = (KIT / "Containerfile").read_text().replace("\\\n", "")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            found[line.split()[0]].append(line.split(maxsplit=1)[1])
    return found


def paths(service: FastAPI) -> set[str]:
    return {getattr(route, "path", "") for route in service.routes}


def test_the_unit_runs_the_service_and_its_reload_replaces_workers(service: FastAPI) -> None:
    one = unit("tasks-backend@.service")
    (start,) = one["ExecStart"]
    understood = arguments(start.replace("%i", "8001").split()[1:])
    assert understood["port"] == 8001
    assert understood["workers"] >= 2, "SIGHUP ends a single worker"
    assert one["ExecReload"] == ["/bin/sh -c 'kill -HUP $MAINPID'"], (
        "not every system has /bin/kill"
    )
    assert "EnvironmentFile" not in one, "a reload reads only .env again"
    assert float(one["TimeoutStopSec"][0]) > SHUTDOWN_TIMEOUT + LAST_SPANS
    (shared,) = one["RuntimeDirectory"]
    assert one["Environment"] == [f"PROMETHEUS_MULTIPROC_DIR=%t/{shared}"]
    migrate = unit("tasks-backend-migrate.service")
    assert arguments(migrate["ExecStart"][0].split()[1:])["to"] is None
    hardening = {name for name in migrate if re.match("Protect|Private|Restrict|System|Mem", name)}
    assert len(hardening) > 15
    assert {name: one[name] for name in hardening} == {name: migrate[name] for name in hardening}


def test_the_image_is_built_from_what_exists_and_its_health_check_asks_the_service(
    service: FastAPI,
) -> None:
    image = containerfile()
    understood = arguments(json.loads(image["CMD"][0]))
    assert image["EXPOSE"] == [str(understood["port"])]
    (asked,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", image["HEALTHCHECK"][0])
    assert asked == (str(understood["port"]), "/livez")
    assert asked[1] in paths(service)
    assert image["STOPSIGNAL"] == ["SIGTERM"]
    for line in image["COPY"]:
        *sources, _ = line.split()
        assert line.startswith("--from=") or all((ROOT / each).exists() for each in sources)
    users = [
        resource["spec"]["template"]["spec"]["securityContext"]
        for resource in (resources()["Deployment"], resources()["Job"])
    ]
    for user in users:
        assert image["USER"] == [f"{user['runAsUser']}:{user['runAsGroup']}"]


def test_the_manifests_run_this_release_and_ask_what_it_answers(service: FastAPI) -> None:
    kinds = resources()
    deployment = kinds["Deployment"]
    serving, migrating = container(deployment), container(kinds["Job"])
    for each in (serving, migrating):
        assert each["image"].endswith(f"tasks-backend:{__version__}")
        assert each["securityContext"]["readOnlyRootFilesystem"]
    understood = arguments(serving["args"])
    assert [understood["port"]] == [port["containerPort"] for port in serving["ports"]]
    assert understood["workers"] == 1, "the workers of a pod would share no metrics"
    assert arguments(migrating["args"])["to"] is None
    for probe, path in {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}.items():
        assert serving[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "http"}
        assert path in paths(service)
    assert serving["readinessProbe"]["timeoutSeconds"] > READY_TIMEOUT
    pause = float(serving["lifecycle"]["preStop"]["exec"]["command"][-1])
    end = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert end > pause + SHUTDOWN_TIMEOUT + LAST_SPANS
    chosen = kinds["ConfigMap"]["data"]
    assert {name.lower() for name in chosen} <= Settings.model_fields.keys()
    Settings(_env_file=None, database_url="postgresql://a/b", **_lower(chosen))
    most = kinds["HorizontalPodAutoscaler"]["spec"]["maxReplicas"]
    assert most * Settings.model_fields["pool_size"].default <= SMALLEST_COMPUTE
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert kinds[kind]["spec"]["selector"] == {"matchLabels": labels}
    assert kinds["Service"]["spec"]["selector"] == labels


def _lower(values: dict[str, str]) -> dict[str, Any]:
    return {name.lower(): value for name, value in values.items()}


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((KIT / "alerts.yaml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def dashboard_expressions() -> list[str]:
    dashboard = json.loads((KIT / "dashboard.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*shown, *(each["query"] for each in dashboard["templating"]["list"])]


SELECTOR = re.compile(r"\b(tasks_backend_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
TARGET_LABELS = {"job", "instance"}


def samples(service: FastAPI) -> set[str]:
    """The names of the samples that a scrape can have."""
    endings = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    text = TestClient(service).get("/metrics").text
    return {
        f"{family.name}{ending}"
        for family in text_string_to_metric_families(text)
        for ending in endings.get(family.type, [])
    }


def label_values(service: FastAPI) -> dict[str, set[str]]:
    """The values of the labels that have few."""
    problem = service.openapi()["components"]["schemas"]["Problem"]
    failures = {kind.name.lower() for kind in Failure}
    return {
        "code": {"", *problem["properties"]["code"]["examples"]},
        "outcome": {"ok", "cancelled", "failed", *failures},
        "failure": failures,
        "state": {"idle", "in_use", "free"},
        "status": {"200", "401", "500", "503"},
        "route": {"none", *(route.path for route in service.routes if isinstance(route, Resource))},
    }


def test_every_metric_and_label_of_alerts_and_dashboard_exists(service: FastAPI) -> None:
    existing, values = samples(service), label_values(service)
    labels = {
        metric._name: {*metric._labelnames}  # noqa: SLF001 - prometheus-client has no public name
        for metric in vars(Instruments()).values()
        if hasattr(metric, "_labelnames")
    }
    assert not set().union(*labels.values()) & TARGET_LABELS, "Prometheus would rename it"
    used = set()
    for text in [*(rule["expr"] for rule in alerts()), *dashboard_expressions()]:
        for name, matchers in SELECTOR.findall(text):
            assert name in existing, name
            family = re.sub("_(total|bucket|sum|count)$", "", name)
            used.add(family)
            for label, operator, value in MATCHER.findall(matchers):
                assert label in labels[family] | TARGET_LABELS, f"{name}: {label}"
                if label in values and not value.startswith("$"):
                    _require_a_match(values[label], operator, value)
        for grouping in re.findall(r"by \(([^)]*)\)", text):
            known = set().union(*labels.values()) | TARGET_LABELS | {"le"}
            assert set(grouping.split(", ")) <= known, grouping
    assert used == labels.keys(), "every metric is shown"


def _require_a_match(values: set[str], operator: str, wanted: str) -> None:
    """An alternative that no value of the label can have is a mistake."""
    alternatives = wanted.split("|") if "~" in operator else [wanted]
    for each in alternatives:
        pattern = re.compile(each if "~" in operator else re.escape(each))
        assert any(pattern.fullmatch(value) for value in values), each


def test_every_alert_fires_in_one_test_is_silent_in_another_and_has_a_runbook() -> None:
    cases = [
        (test["alertname"], bool(test.get("exp_alerts")))
        for group in yaml.safe_load((KIT / "alerts.test.yaml").read_text())["tests"]
        for test in group["alert_rule_test"]
    ]
    names = [rule["alert"] for rule in alerts()]
    assert {*cases} == {(name, fires) for name in names for fires in (True, False)}
    for rule in alerts():
        document, _, anchor = rule["annotations"]["runbook"].partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / document).read_text(), re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_the_document_names_every_file_and_only_what_exists() -> None:
    text = DOCUMENT.read_text()
    files = {path.name for path in KIT.iterdir() if "test" not in path.name}
    assert set(re.findall(r"\]\(\.\./\.deploy/([^)]+)\)", text)) == files
    for lock in re.findall(r"\.ci/locks/\S+\.txt", text):
        assert (ROOT / lock).exists(), lock
    assert f"VERSION={__version__}\n" in text
    names = set(re.findall(r"^ +([A-Z_]+)=", text, re.MULTILINE)) - {"VERSION"}
    assert {name.lower() for name in names} <= Settings.model_fields.keys()
    for words in _commands(text):
        arguments(words)


def _commands(text: str) -> Iterator[list[str]]:
    """The command lines of tasks-backend in the document's shell blocks."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        for words in re.findall(r"\btasks-backend ((?:doctor|migrate|serve)\b[^#\n;&]*)", block):
            yield words.split()
