"""Architecture rules that a reviewer would otherwise have to check."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from http import HTTPStatus
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

import tasks_backend
from tasks_backend import Plugin, Settings, create_app
from tasks_backend import resources as resources_module
from tasks_backend.app import METHODS
from tasks_backend.auth.gate import Bounds, open_gate
from tasks_backend.http.limiter import ConcurrencyLimiter
from tasks_backend.http.receive import BodyReader
from tasks_backend.http.resource import Resource, resources

PACKAGE = Path(tasks_backend.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the bottom up: a package imports only from the lines above its own.
ROOMS = [
    {"_version", "compatibility", "errors", "former_names", "settings", "terminal"},
    {"plugin"},
    {"http"},
    {"auth", "db", "observability", "openapi"},
    {"jobs"},
    {"health", "lifespan", "tasks"},
    {"mounting", "resources"},
    {"app"},
    {"doctor", "serving"},
    {"__init__"},
    {"dev", "new_plugin"},
    {"cli", "testing"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
FORMER_PLACES = {"observation", "server"}
"""Modules that only redirect to their new path."""


def room_of(module: str) -> str:
    return (module.removeprefix("tasks_backend").removeprefix(".").split(".")[0]) or "__init__"


def module_at(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tasks_backend"):
            for alias in node.names:
                child = PACKAGE / Path(*node.module.split(".")[1:], alias.name)  # type: ignore[union-attr] # checked above
                is_module = child.with_suffix(".py").exists() or child.is_dir()
                yield f"{node.module}.{alias.name}" if is_module else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("tasks_backend"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for room in {room_of(imported) for imported in imports(path)} - {own}:
        assert room not in FORMER_PLACES, f"{own} imports {room}"
        assert own in FORMER_PLACES or LEVEL[room] < LEVEL[own], f"{own} imports {room}"


def test_there_are_no_circular_imports() -> None:
    order = TopologicalSorter({module_at(path): {*imports(path)} for path in MODULES})
    assert {*order.static_order()} >= {module_at(path) for path in MODULES}


def paths_open_without_a_token(app: FastAPI) -> set[str]:
    """The paths of all routes that do not answer 401 to a request without a token."""
    client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
    found = set()
    for route in app.routes:
        path: str = route.path  # type: ignore[attr-defined] # every route has one
        address = re.sub(r"{[^}]*}", "0", path) or "/"
        answers = {client.request(method, address).status_code for method in (*METHODS, "HEAD")}
        if not answers <= {HTTPStatus.UNAUTHORIZED, HTTPStatus.METHOD_NOT_ALLOWED}:
            found.add(path)
    return found


def without_assets(paths: set[str]) -> set[str]:
    return {path for path in paths if not re.fullmatch(r"/docs/[0-9a-f]{16}/[\w.-]+", path)}


PUBLIC = {"/docs", "/openapi.json", "/livez", "/readyz"}


@pytest.fixture(scope="module")
def audit() -> Iterator[Plugin]:
    """The plugin of docs/plugins.md."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tests/plugin/audit")
        plugin = importlib.import_module("tasks_backend_audit").plugin
    assert isinstance(plugin, Plugin)
    yield plugin
    del sys.modules["tasks_backend_audit"]


@pytest.mark.proves("SC-002", "SC-005")
def test_no_route_is_public_by_accident(settings: Settings, audit: Plugin) -> None:
    app = create_app(settings)
    assert without_assets(paths_open_without_a_token(app)) == PUBLIC
    everything = settings.model_copy(update={"plugins": ("metrics", "tracing")})
    app = create_app(everything, plugins=[audit])
    paths = {getattr(route, "path", None) for route in app.routes}
    assert {"/api/v1/audit", "/api/v1/tasks/{task_id}/toggle", "/metrics"} <= paths
    assert without_assets(paths_open_without_a_token(app)) == PUBLIC | {"/metrics"}
    assert all(isinstance(route, Resource | Route) for route in app.routes)


async def leaking(_: Request) -> Response:
    return Response()


BOUNDS = Bounds(1, ConcurrencyLimiter(1), BodyReader(max_bytes=1, max_waiting=1))
LEAKY = APIRouter()
LEAKY.add_api_route("/leak/{a}", leaking)
LEAKS: dict[str, Callable[[], Plugin | BaseRoute]] = {
    "an operation": lambda: Plugin("leaky", operations=LEAKY),
    "a public plugin": lambda: Plugin("leaky", {"v1": LEAKY}, public=True),
    "a route": lambda: Route("/leak", leaking),
    "a post": lambda: Route("/leak", leaking, methods=["POST"]),
    "a mount": lambda: Mount("/leak", Response()),
    "a mount at the root": lambda: Mount("", Response()),
    "a resource that says that it is closed": lambda: next(
        resources(LEAKY, open_gate(BOUNDS), prefix="/api/v1/leaky", public=False)
    ),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_an_injected_public_route_is_found(settings: Settings, audit: Plugin, kind: str) -> None:
    leak = LEAKS[kind]()
    plugins = [audit, leak] if isinstance(leak, Plugin) else [audit]
    app = create_app(settings, plugins=plugins)
    if isinstance(leak, BaseRoute):
        list.append(app.routes, leak)  # the application's own method rejects it
    (found,) = without_assets(paths_open_without_a_token(app)) - PUBLIC
    assert "leak" in found or kind.endswith("root")


SQL = re.compile(
    r"\b(?:SELECT\s|INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|TRUNCATE|VALUES\s*\(|WITH\s+\w+\s+AS"
    r"|SET\s+(?:LOCAL|ROLE|SESSION)|RESET\s|SHOW\s|LOCK\s+TABLE|BEGIN\b|COMMIT\b|ROLLBACK\b|SAVEPOINT"
    r"|set_config\(|pg_\w+\(|(?:CREATE|ALTER|DROP)\s+(?:TABLE|ROLE|SCHEMA|INDEX|POLICY|DATABASE|FUNCTION)"
    r"|GRANT\s+\w+\s+ON|REVOKE\s|ANALYZE\s|VACUUM\b|EXPLAIN\s)"
)
STATEMENTS = ("statements.py", "db/migrations.py", "dev/postgres.py")
ADVICE = ("cli.py", "db/failures.py", "db/migration_session.py", "doctor/row_level_security.py")
"""Messages for operators that contain a statement; the service does not send it."""


def texts(path: Path) -> Iterator[str]:
    """The strings of a module, without docstrings."""
    tree = ast.parse(path.read_text())
    documents = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }  # a docstring, or the text below a name
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from [] if id(node) in documents else [node.value]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_all_sql_is_in_statements_and_migrations(path: Path) -> None:
    """A review of the SQL needs only these files."""
    if path.as_posix().endswith(STATEMENTS + ADVICE):
        return
    for text in texts(path):
        assert not SQL.search(text), text[:100]
        assert not text.lower().startswith(("select ", "insert into ", "delete from "))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
            names = {alias.name for alias in node.names}
            assert not names & {"select", "insert", "update", "delete"}


@pytest.mark.parametrize(
    "text",
    [
        "  SELECT 1",
        "WITH a AS (SELECT 1)",
        "BEGIN; TRUNCATE a",
        "UPDATE a SET b = 1",
        "set_config('role', 'x', true)",
        "x; DROP TABLE a",
    ],
)
def test_sql_is_recognised_whatever_its_first_word(text: str) -> None:
    assert SQL.search(text)


@pytest.mark.proves("SC-007")
def test_the_top_level_has_the_agreed_files() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {name.split("/")[0] for name in listed.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} == {
        "tasks_backend",
        "tests",
        "migrations",
        "docs",
        "pyproject.toml",
        "noxfile.py",
        "README.md",
    }
    assert ".env.example" in top


def test_an_import_starts_no_thread_or_connection() -> None:
    program = (
        "import threading, sys; from tasks_backend import create_app;"
        "assert threading.active_count() == 1;"
        "assert not any(name.startswith(('alembic.command', 'tasks_backend.dev')) for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_two_applications_run_in_one_process(settings: Settings) -> None:
    one, two = create_app(settings), create_app(settings.model_copy(update={"docs_enabled": False}))
    assert len(one.routes) > len(two.routes)
    assert one.state.database is not two.state.database


def test_the_public_names_are_these() -> None:
    assert sorted(tasks_backend.__all__) == [
        "ApiError",
        "ConstraintViolation",
        "Job",
        "JobContext",
        "OwnRows",
        "Plugin",
        "PluginError",
        "PluginSettings",
        "Settings",
        "SettingsError",
        "__version__",
        "configure_logging",
        "create_app",
        "problems",
        "row_level_security",
        "statement",
    ]
    for name in tasks_backend.__all__:
        assert hasattr(tasks_backend, name)


def test_pre_commit_uses_the_locked_style_checker() -> None:
    (locked,) = re.findall(r"^ruff==\S+", (ROOT / ".ci/locks/all.txt").read_text(), re.MULTILINE)
    pinned = re.findall(r"ruff==[\d.]+", (ROOT / ".pre-commit-config.yaml").read_text())
    assert set(pinned) == {locked}


NOT_OF_THE_PLUGIN = {
    "account": "commands of the operator",
    "move_statements": "their SQL",
    "sweep": "a command of the operator",
    "idempotency": "makes public pieces",
    "quota": "limits of the service, also for the keys of plugins",
}


def private_imports(path: Path) -> Iterator[str]:
    """What a module imports from other rooms that no public module has."""
    public = [
        getattr(module, name)
        for module in (tasks_backend, resources_module)
        for name in module.__all__
    ]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and room_of(node.module or "x") != "tasks":
            if not (node.module or "").startswith("tasks_backend"):
                continue
            for alias in node.names:
                value = getattr(importlib.import_module(str(node.module)), alias.name, None)
                if not any(value is each for each in public):
                    yield f"{node.module}.{alias.name}"


TASKS = [
    path for path in MODULES if path.parent.name == "tasks" and path.stem not in NOT_OF_THE_PLUGIN
]


@pytest.mark.proves("FR-020")
@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_tasks_uses_only_public_names(path: Path) -> None:
    assert list(private_imports(path)) == []


def test_a_private_import_is_found() -> None:
    found = list(private_imports(PACKAGE / "tasks" / "account.py"))
    assert "tasks_backend.db.pool.Pool" in found


def test_the_plugin_of_the_tests_of_resources_is_short_and_uses_public_names_only() -> None:
    path = ROOT / "tests/support/notes.py"
    assert {*imports(path)} <= {"tasks_backend", "tasks_backend.errors", "tasks_backend.resources"}
    lines = path.read_text().split("# --- below a task")[0].splitlines()
    assert len([line for line in lines if line.strip()]) < 170
