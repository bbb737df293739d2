"""Plugins: enabled by name, closed by default, and a broken one stops the start."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, NoMatchFound

import tasks_backend
from tasks_backend import (
    OwnRows,
    Plugin,
    PluginError,
    Settings,
    create_app,
    new_plugin,
    resources,
    row_level_security,
    testing,
)
from tasks_backend import plugin as plugins
from tasks_backend.http.resource import Resource
from tasks_backend.tasks import plugin as tasks
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer

router = APIRouter()
nested = APIRouter(prefix="/nested")
entered: list[str] = []


@router.get("/whoami")
async def whoami(own: OwnRows) -> str:
    return own.caller.user_id


@nested.get("/{number}")
async def get_number(number: int) -> int:
    return number


@nested.delete("/{count}")
async def delete_number(count: int) -> int:
    return -count


router.include_router(nested)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    entered.append("in")
    yield
    entered.append("out")


audit = Plugin("audit", {"v1": router, "v2": router}, lifespan=lifespan)
no_plugin = object()


def broken() -> None:
    raise AssertionError("never called")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Simulate an installed distribution with these entry points."""

    def install(**points: str) -> None:
        found = EntryPoints(
            EntryPoint(name, value, plugins.GROUP) for name, value in points.items()
        )
        monkeypatch.setattr(plugins, "entry_points", lambda group: found.select(group=group))

    return install


ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs/plugins.md").read_text()


def test_each_shown_block_is_a_part_of_a_tested_plugin(tmp_path: Path) -> None:
    """The session `plugin` tests them, from their wheels."""
    sources = [ROOT / "tests/plugin", ROOT / "tests/support", new_plugin.make("notes", tmp_path)]
    tested = [path.read_text() for source in sources for path in source.rglob("*.py")]
    blocks = re.findall(r"^```(?:py|sql)\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 10
    for block in blocks:
        assert any(block in text for text in tested), block


def test_the_decision_counts_the_lines_of_the_plugins(tmp_path: Path) -> None:
    decision = (ROOT / "docs/decisions/0027-the-surface-for-plugins.md").read_text()
    rows = re.findall(r"^\| `?([\w-]+)`?: .* \| (\d+) \| (\d+) \|$", decision, re.MULTILINE)
    assert len(rows) == 4
    for name, *counted in rows:
        own = ROOT / "tests/plugin" / name
        source = new_plugin.make("notes", tmp_path) if name == "new-plugin" else own
        lines = {True: 0, False: 0}
        for path in source.rglob("*.py"):
            lines[path.parent.name == "tests"] += len(
                [line for line in path.read_text().splitlines() if line.strip()]
            )
        assert [int(each) for each in counted] == [lines[False], lines[True]]


@pytest.mark.parametrize("module", [tasks_backend, resources, testing])
def test_the_reference_has_every_public_name_and_no_other(module: ModuleType) -> None:
    (table,) = re.findall(
        rf"^\| `{module.__name__}` \| \|\n(.*?)(?:\n\n|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL
    )
    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(rows) == sorted(module.__all__)
    assert all(hasattr(module, name) for name in rows)


def test_each_public_name_has_a_user(tmp_path: Path) -> None:
    """A plugin, the template, the tasks or an embedder; of the kit, a test of this project."""
    sources = [
        ROOT / "tests/plugin",
        ROOT / "tests/support",
        ROOT / "tasks_backend/tasks",
        ROOT / "tasks_backend/observability",
        new_plugin.make("notes", tmp_path),
    ]
    used = _words(path for source in sources for path in source.rglob("*.py"))
    used |= _words([ROOT / "docs/embedding.md", ROOT / "tests/test_plugin_failures.py"])
    assert {*tasks_backend.__all__} <= used
    assert {*resources.__all__} <= used
    assert {*testing.__all__} <= used | _words((ROOT / "tests").glob("test_*.py"))


def _words(paths: Iterable[Path]) -> set[str]:
    return {word for path in paths for word in re.findall(r"\w+", path.read_text())}


@pytest.mark.proves("SC-005", "SC-002")
def test_a_plugins_routes_are_closed_and_know_their_caller(
    settings: Settings, signer: Signer
) -> None:
    entered.clear()
    with (
        served(create_app(settings, plugins=[audit])) as url,
        httpx2.Client(base_url=url) as client,
    ):
        assert entered == ["in"]
        for path in ("/api/v1/audit/whoami", "/api/v2/audit/whoami", "/api/v1/audit/nested/1"):
            problem(client.get(path), 401, "missing_token")
        client.headers["Authorization"] = f"Bearer {signer.token('somebody')}"
        assert client.get("/api/v1/audit/whoami").json() == "somebody"
        assert client.get("/api/v2/audit/nested/7").json() == 7
        assert client.delete("/api/v2/audit/nested/7").json() == -7
        response = client.put("/api/v2/audit/nested/7")
        problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "DELETE, GET, HEAD"
        problem(client.get("/api/v1/audit/nested/x"), 422, "validation_error")
        assert client.get("/api/v1/tasks").status_code == 200
    assert entered == ["in", "out"]


def test_a_plugin_is_public_only_if_it_says_so(settings: Settings) -> None:
    public = Plugin("open", {"v1": nested}, public=True)
    with (
        served(create_app(settings, plugins=[public])) as url,
        httpx2.Client(base_url=url) as client,
    ):
        assert client.get("/api/v1/open/nested/1").json() == 1


def test_a_public_route_has_no_caller(settings: Settings) -> None:
    public = Plugin("open", {"v1": router}, public=True)
    with (
        served(create_app(settings, plugins=[public])) as url,
        httpx2.Client(base_url=url) as client,
    ):
        problem(client.get("/api/v1/open/whoami"), 500, "internal_error")


def test_an_installed_plugin_is_not_enabled(
    settings: Settings, install: Callable[..., None]
) -> None:
    install(audit=f"{__name__}:audit")
    assert plugins.load_plugins(["audit"]) == [audit]
    paths = {route.path for route in create_app(settings).routes if isinstance(route, Resource)}
    assert not any("audit" in path for path in paths)
    load_plugins = settings.model_copy(update={"plugins": ("audit",)})
    paths = {route.path for route in create_app(load_plugins).routes if isinstance(route, Resource)}
    assert "/api/v1/audit/whoami" in paths


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "missing",
            "'missing', which is not installed (installed: audit, empty, other, raises, wrong)",
        ),
        ("other", "'other': its entry point is a plugin named 'audit'"),
        ("wrong", "'wrong': its entry point is no tasks_backend.Plugin"),
        ("empty", "'empty' cannot be loaded: AttributeError"),
        ("raises", "'raises' cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_an_unusable_named_plugin_stops_the_start(
    settings: Settings, install: Callable[..., None], name: str, sentence: str
) -> None:
    install(
        audit=f"{__name__}:audit",
        other=f"{__name__}:audit",
        wrong=f"{__name__}:no_plugin",
        empty=f"{__name__}:not_there",
        raises="no_such_module:plugin",
    )
    with pytest.raises(PluginError) as failure:
        create_app(settings.model_copy(update={"plugins": (name,)}))
    assert sentence in str(failure.value)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Plugin("Audit", {"v1": router}), "'Audit': a name is lower-case"),
        (lambda: Plugin("a/b", {"v1": router}), "'a/b': a name is lower-case"),
        (lambda: Plugin("", {"v1": router}), "'': a name is lower-case"),
        (lambda: Plugin("a" * 41, {"v1": router}), "a name is lower-case"),
        (lambda: Plugin("audit", {}), "'audit': it has nothing to add"),
        (lambda: Plugin("audit", {"1": router}), "'audit': '1' is no version"),
        (lambda: Plugin("audit", {"v1": "router"}), "'audit': what it has for v1 is no APIRouter"),  # type: ignore[dict-item] # a mistake
    ],
)
def test_a_plugin_with_invalid_fields_is_refused(make: Callable[[], Plugin], sentence: str) -> None:
    with pytest.raises(PluginError) as failure:
        make()
    assert sentence in str(failure.value)


def test_the_url_of_an_operation_can_be_built_by_name(settings: Settings) -> None:
    app = create_app(settings, plugins=[audit])
    assert app.url_path_for("get_task", task_id="x") == "/api/v1/tasks/x"
    assert app.url_path_for("get_number", number=7) == "/api/v1/audit/nested/7"
    with pytest.raises(NoMatchFound):
        app.url_path_for("nothing")


def test_two_plugins_with_one_name_stop_the_start(settings: Settings) -> None:
    for given in ([audit, audit], [tasks], [audit, Plugin("audit", {"v3": nested})]):
        with pytest.raises(PluginError, match="is given twice"):
            create_app(settings, plugins=given)


def test_a_route_that_bypasses_the_gate_stops_the_start(settings: Settings) -> None:
    mounting = APIRouter(routes=[Mount("/files", app=PlainTextResponse("open"))])
    socket = APIRouter()
    socket.add_api_websocket_route("/live", broken)
    for bypass in (mounting, socket):
        with pytest.raises(
            PluginError, match=r"'bypass': a .* at /api/v1/bypass/\w+ cannot be mounted"
        ):
            create_app(settings, plugins=[Plugin("bypass", {"v1": bypass})])


def test_two_packages_with_one_plugin_stop_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of directories would decide which of them is loaded."""
    points = [EntryPoint("audit", value, plugins.GROUP) for value in ("one:plugin", "two:plugin")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints(points))
    with pytest.raises(PluginError, match="'audit' is installed twice: one:plugin, two:plugin"):
        create_app(settings.model_copy(update={"plugins": ("audit",)}))


def test_migrations_that_cannot_be_read_stop_the_start(settings: Settings, tmp_path: Path) -> None:
    def start() -> None:
        create_app(settings, plugins=[Plugin("audit", {"v1": router}, migrations=tmp_path)])

    with pytest.raises(PluginError, match=f"'audit': there are no migrations in {tmp_path}"):
        start()
    (tmp_path / "1.py").write_text("raise RuntimeError('broken')")
    with pytest.raises(PluginError, match="'audit': its migrations cannot be read: RuntimeError"):
        start()
    for name in "ab":
        (tmp_path / f"{name}.py").write_text(f"revision, down_revision = {name!r}, None")
    (tmp_path / "1.py").unlink()
    with pytest.raises(
        PluginError, match=r"'audit': its migrations cannot be read: .* has multiple heads"
    ):
        start()


@pytest.mark.parametrize("kind", [RuntimeError, PluginError])
def test_a_lifespan_that_raises_stops_the_start_with_a_message(
    settings: Settings, kind: type[Exception]
) -> None:
    @asynccontextmanager
    async def raising(app: FastAPI) -> AsyncIterator[None]:
        raise kind("first line\nsecond line")
        yield

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: object) -> None:
        said.append(message)

    said: list[object] = []
    bad = Plugin("bad", {"v1": nested}, lifespan=raising)
    app = create_app(settings, plugins=[audit, bad])
    with pytest.raises(PluginError):
        asyncio.run(app({"type": "lifespan", "state": {}}, receive, send))
    sentence = f"plugin 'bad': its lifespan failed: {kind.__name__}: first line second line"
    assert said == [{"type": "lifespan.startup.failed", "message": sentence}]


def test_row_level_security_needs_a_table_and_valid_commands() -> None:
    for table, privileges in (
        ("entries", ["SELECT"]),
        ("audit.entries; DROP TABLE x", ["SELECT"]),
        ("audit.Entries", ["SELECT"]),
        ("audit.entries", []),
        ("audit.entries", ["ALL"]),
    ):
        with pytest.raises(ValueError, match=r"no schema\.table, or no privileges"):
            row_level_security(table, privileges)
