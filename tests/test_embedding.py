"""The service inside another application and behind a proxy, as in docs/embedding.md."""

import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request
from support import commands
from support.commands import serving
from support.programs import output

from tasks_backend import Plugin, Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.key_server import KeyServer, json_answer
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer, key_set

DOCUMENT = Path(__file__).parents[1] / "docs/embedding.md"
MOUNTED, _, _, TWO, TESTED = re.findall(
    r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL
)
"""The session `servers` runs the other two."""
TASKS = "/api/v1/tasks"
EVIL = {
    "Host": "evil.example.com",
    "X-Forwarded-Host": "evil.example.com",
    "X-Forwarded-Proto": "javascript",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "host=evil.example.com;proto=evil",
}


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A directory and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("database_url_unpooled", *Settings.model_fields):
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def run(block: str) -> dict[str, object]:
    names: dict[str, object] = {"__name__": "embedding"}
    exec(block, names)
    return names


def application(names: dict[str, object]) -> FastAPI:
    app = names["app"]
    assert isinstance(app, FastAPI)
    return app


@contextmanager
def stripping_proxy(prefix: str, target: str) -> Iterator[str]:
    """A proxy that serves a target under a prefix and strips it."""

    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            assert self.path.startswith(prefix), self.path
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = httpx2.request(
                self.command,
                target + self.path.removeprefix(prefix),
                headers=dict(self.headers.items()),
                content=body,
                timeout=30,
            )
            self.send_response_only(answer.status_code)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815 - the base's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def check_addresses(base: str, prefix: str, headers: dict[str, str]) -> None:
    """Check that all addresses are right and that problems have the right `instance`."""
    with httpx2.Client(base_url=base, headers=headers, timeout=30) as client:
        made = [client.post(prefix + TASKS, json={"title": f"{n}"}, headers=EVIL) for n in range(3)]
        for response in made:
            assert response.status_code == 201, response.text
            assert response.headers["location"] == f"{prefix}{TASKS}/{response.json()['id']}"
            assert client.get(response.headers["location"]).json() == response.json()
        titles, following = [], f"{prefix}{TASKS}?limit=1"
        while following:
            page = client.get(following, headers=EVIL)
            titles += [item["title"] for item in page.json()["items"]]
            link = page.headers.get("link", "")
            assert link == "" or link.startswith(f"<{prefix}{TASKS}?")
            following = link.partition(">")[0].removeprefix("<")
        assert titles == ["2", "1", "0"]
        failures = [
            (client.get(f"{prefix}/nothing", headers=EVIL), 404, "not_found"),
            (client.get(f"{prefix}{TASKS}/{'0' * 32}"), 404, "task_not_found"),
            (client.put(f"{prefix}{TASKS}"), 405, "method_not_allowed"),
            (client.post(f"{prefix}{TASKS}", json={"title": ""}), 422, "validation_error"),
            (httpx2.get(f"{base}{prefix}{TASKS}"), 401, "missing_token"),
        ]
        for response, status, code in failures:
            body = problem(response, status, code)
            assert body["instance"] == response.request.url.path
        assert failures[2][0].headers["allow"] == "DELETE, GET, HEAD, PATCH, POST"
        assert client.get(f"{prefix}/readyz").status_code == 200
        document = client.get(f"{prefix}/openapi.json", headers=EVIL).json()
        assert [server["url"] for server in document["servers"]] == [prefix or "/"]
        assert TASKS in document["paths"]
        page = client.get(f"{prefix}/docs")
        assert page.status_code == 200
        needed = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert needed
        for address in needed:
            assert client.get(str(page.url.join(address))).status_code == 200, address
        assert "evil" not in "".join(response.text for response, *_ in failures)


@pytest.mark.proves("FR-011")
@pytest.mark.parametrize("outer", ["", "/outer"])
def test_mounted_in_a_larger_application(
    only: pytest.MonkeyPatch, environment: dict[str, str], signer: Signer, outer: str
) -> None:
    for name, value in environment.items():
        only.setenv(name, value)
    names = run(MOUNTED)
    app = application(names)
    headers = {"Authorization": f"Bearer {signer.token(f'embedded{outer}')}"}
    with ExitStack() as stack:
        base = stack.enter_context(served(app, root_path=outer))
        if outer:
            base = stack.enter_context(stripping_proxy(outer, base))
        check_addresses(base, f"{outer}/todo", headers)
        beside = httpx2.get(f"{base}{outer}/nothing")
        assert (beside.status_code, beside.json()) == (404, {"detail": "Not Found"})
        pool = names["tasks"].state.database.pool  # type: ignore[attr-defined] # it is a FastAPI
        assert pool.idle > 0
    assert pool.idle == 0, "the lifespan was left"


def test_a_mounted_applications_plugins_are_started_and_stopped(
    only: pytest.MonkeyPatch, settings: Settings
) -> None:
    said = []

    @asynccontextmanager
    async def told(_app: FastAPI) -> AsyncIterator[None]:
        said.append("in")
        yield
        said.append("out")

    plugin = Plugin("told", {"v1": APIRouter()}, lifespan=told)
    block = MOUNTED.replace("create_app()", "create_app(settings, plugins=[plugin])")
    names: dict[str, object] = {"settings": settings, "plugin": plugin}
    exec(block, names)
    with served(application(names)):
        assert said == ["in"]
    assert said == ["in", "out"]


def test_two_services_in_one_process_share_nothing(
    only: pytest.MonkeyPatch, environment: dict[str, str], cluster: Cluster, signer: Signer
) -> None:
    other_signer = Signer()
    _, other_database = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(other_database)
    with KeyServer(json_answer(key_set(other_signer))) as other_keys:
        other = {**environment, "DATABASE_URL": other_database, "JWKS_URL": other_keys.url}
        other["DOCS_ENABLED"] = "false"
        for file, variables in ((".env.staff", environment), (".env.customers", other)):
            lines = [f"{name}='{value}'" for name, value in variables.items()]
            Path(file).write_text("\n".join(lines))
        app = application(run(TWO))
        with served(app) as base, httpx2.Client(base_url=base, timeout=30) as client:
            staff = {"Authorization": f"Bearer {signer.token('anna')}"}
            customer = {"Authorization": f"Bearer {other_signer.token('anna')}"}
            made = client.post(f"/staff{TASKS}", json={"title": "Ours"}, headers=staff)
            assert made.headers["location"].startswith("/staff/")
            assert client.get(made.headers["location"], headers=staff).status_code == 200
            assert client.get(f"/customers{TASKS}", headers=customer).json()["items"] == []
            for prefix, token in (("/staff", customer), ("/customers", staff)):
                problem(client.get(f"{prefix}{TASKS}", headers=token), 401, "invalid_token")
            assert client.get("/staff/openapi.json").status_code == 200
            problem(client.get("/customers/openapi.json"), 404, "not_found")


def test_the_documented_test_of_an_embedder_passes(tmp_path: Path, cluster: Cluster) -> None:
    (tmp_path / "test_tasks.py").write_text(TESTED)
    command = [sys.executable, *"-m pytest -q -W error -p no:cacheprovider .".split()]
    variables = {**os.environ, "TEST_DATABASE_URL": cluster.url}
    told = output(*command, directory=tmp_path, environment=variables, timeout=120)
    assert "1 passed" in told
    with cluster.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datdba = 10 AND datname LIKE 'db_%'")
        assert cursor.fetchall() == [], "it drops its database"


@pytest.mark.proves("FR-011")
def test_behind_a_proxy_that_strips_a_prefix(
    tmp_path: Path, environment: dict[str, str], signer: Signer
) -> None:
    headers = {"Authorization": f"Bearer {signer.token('proxied')}"}
    with (
        serving(tmp_path, "--root-path", "/todo", **environment) as target,
        stripping_proxy("/todo", target) as base,
    ):
        check_addresses(base, "/todo", headers)


@pytest.mark.parametrize("wrong", ["todo", "/todo/", "/", "//todo", "https://example.com/todo"])
def test_a_prefix_that_matches_nothing_is_refused(tmp_path: Path, wrong: str) -> None:
    result = commands.run(tmp_path, "serve", "--root-path", wrong)
    assert (result.returncode, result.stdout) == (2, "")
    assert "takes a path such as /todo" in result.stderr


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [
        (None, ("https", "203.0.113.9")),
        ("127.0.0.1", ("https", "203.0.113.9")),
        ("192.0.2.1", ("http", "127.0.0.1")),
    ],
)
def test_forwarded_headers_are_used_from_trusted_proxies_only(
    only: pytest.MonkeyPatch, settings: Settings, trusted: str | None, seen: tuple[str, str]
) -> None:
    router = APIRouter()

    @router.get("")
    async def get_seen(request: Request) -> tuple[str, str]:
        assert request.client
        return request.url.scheme, request.client.host

    only.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if trusted is not None:
        only.setenv("FORWARDED_ALLOW_IPS", trusted)
    app = create_app(settings, plugins=[Plugin("seen", {"v1": router}, public=True)])
    with served(app) as base:
        forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        assert tuple(httpx2.get(f"{base}/api/v1/seen", headers=forwarded).json()) == seen


OWN_PROCESS = """
import gc, logging
from tasks_backend import create_app
from tasks_backend.serving.server import application
logger = logging.getLogger("tasks_backend")
create_app()
assert not (gc.get_freeze_count() or logger.handlers)
application()
assert gc.get_freeze_count() and logger.handlers
"""


def test_the_garbage_collector_and_the_log_are_changed_only_in_an_own_process(
    environment: dict[str, str], tmp_path: Path
) -> None:
    output(sys.executable, "-c", OWN_PROCESS, directory=tmp_path, environment=environment)
