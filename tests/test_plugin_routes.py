"""No plugin or embedder can add a route that bypasses the gate."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tasks_backend import Plugin, PluginError, Settings, create_app
from tasks_backend.testing.service import User, problem

TASKS = "/api/v1/tasks"


async def secret() -> str:
    return "reached without a token"


async def secret_response(_: Request) -> Response:
    return PlainTextResponse("reached without a token")


async def secret_socket(socket: WebSocket) -> None:
    await socket.accept()


def routing(*paths: str, prefix: str = "") -> APIRouter:
    router = APIRouter(prefix=prefix)
    for path in paths:
        router.add_api_route(path, secret, methods=["GET", "POST"])
    return router


def nested(path: str) -> APIRouter:
    outer = APIRouter(prefix="/api")
    outer.include_router(routing(path))
    return outer


# --- operations ---


@pytest.mark.proves("SC-002", "SC-005")
@pytest.mark.parametrize(
    "operations",
    [
        routing("/api/v1/tasks/{task_id}/labels"),
        routing("/api"),
        routing("/api/"),
        routing("/api/status"),
        routing("/API/v1/labels"),
        routing("//api/v1/labels"),
        routing("///api/v1/labels"),
        routing("/./api/v1/labels"),
        routing("/metrics/../api/v1/labels"),
        routing("/%61pi/v1/labels"),
        routing("/{anything:path}"),
        routing("/{a}"),
        routing("/{a}/v1/tasks"),
        routing("/a{b}/v1/tasks"),
        routing("/{a}pi/v1/tasks"),
        routing("/{a:path}/tasks"),
        routing("/{a}{b:path}"),
        routing("/v1/labels", prefix="/api"),
        routing("/tasks", prefix="/{a}/v1"),
        nested("/v1/labels"),
        nested("/{a}"),
        routing("/healthy", "/api/v2/labels"),
        routing("labels"),
    ],
    ids=lambda router: router.prefix + (getattr(router.routes[-1], "path", None) or "/nested"),
)
def test_an_operation_reachable_below_api_stops_the_start(
    settings: Settings, operations: APIRouter
) -> None:
    with pytest.raises(PluginError, match=r"^plugin 'labels': .*without a token.*$"):
        create_app(settings, plugins=[Plugin("labels", operations=operations)])


def test_an_operation_outside_api_is_served(settings: Settings) -> None:
    paths = [
        "/apis",
        "/api-status/{a}",
        "/labels/{a:path}",
        "/",
        "/.well-known/labels",
        "/v1/api/x",
    ]
    client = TestClient(
        create_app(settings, plugins=[Plugin("labels", operations=routing(*paths))])
    )
    for path in ["/apis", "/api-status/x", "/labels/x/y", "/", "/.well-known/labels", "/v1/api/x"]:
        assert client.get(path).json() == "reached without a token", path
    for path in ("/api", "/api/", TASKS, "/api/v1/labels"):
        assert client.get(path).status_code in {401, 404}, path
    for path in ("/labels/../api/v1/tasks", "/labels%2f..%2fapi/v1/tasks", "//api/v1/tasks"):
        answer = client.get(path)  # at least not a route into the API
        assert answer.status_code in {401, 404} or answer.json() == "reached without a token"


@pytest.mark.parametrize("root_path", ["", "/todo", "/api", "/labels"])
def test_a_prefix_of_the_whole_service_exposes_nothing(settings: Settings, root_path: str) -> None:
    plugin = Plugin("labels", operations=routing("/labels/{rest:path}", "/"))
    app = create_app(settings, plugins=[plugin])
    client = TestClient(app, root_path=root_path)
    problem(client.get(f"{root_path}{TASKS}"), 401, "missing_token")
    assert client.get(TASKS).status_code in {401, 404}


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("/livez", "/livez"),
        ("/readyz", "/readyz"),
        ("/docs", "/docs"),
        ("/docs/{a:path}", "/docs/"),
        ("/docs/{a}/{b}", "/docs/"),
        ("/openapi.json", "/openapi.json"),
    ],
)
def test_an_operation_at_a_path_of_the_service_stops_the_start(
    settings: Settings, path: str, taken: str
) -> None:
    with pytest.raises(PluginError) as failure:
        create_app(settings, plugins=[Plugin("labels", operations=routing(path))])
    sentence = str(failure.value)
    assert sentence.startswith(f"plugin 'labels': an operation at {path} ")
    assert f"takes the place of {taken}" in sentence
    assert sentence.endswith("which the service has")


def test_the_path_of_a_disabled_page_is_free(settings: Settings) -> None:
    changed = settings.model_copy(update={"docs_enabled": False})
    app = create_app(changed, plugins=[Plugin("labels", operations=routing("/docs"))])
    assert TestClient(app).get("/docs").json() == "reached without a token"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/labels", "/labels"),
        ("/labels/{a}", "/labels/{b}"),
        ("/labels/{a}", "/labels/all"),
        ("/labels/all", "/labels/{a}"),
        ("/labels/{a:path}", "/labels/all/of/them"),
        ("/labels/all/of/them", "/labels/{a:path}"),
        ("/labels/{a:int}", "/labels/{a:path}"),
        ("/labels/{a}/x", "/labels/b/{c}"),
        ("/", "/"),
    ],
)
def test_two_plugins_with_one_path_stop_the_start(settings: Settings, one: str, other: str) -> None:
    """Their order would decide which of them answers."""
    plugins = [Plugin("one", operations=routing(one)), Plugin("other", operations=routing(other))]
    with pytest.raises(PluginError) as failure:
        create_app(settings, plugins=plugins)
    assert str(failure.value) == (
        f"plugin 'other': an operation at {other} takes the place of {one}, which plugin 'one' has"
    )


def test_two_plugins_side_by_side_are_served(settings: Settings) -> None:
    one = routing("/labels/one", "/labels/one/{a}", "/x")
    other = routing("/labels/other", "/labels", "/labels/other/{a}")
    plugins = [Plugin("one", operations=one), Plugin("other", operations=other)]
    client = TestClient(create_app(settings, plugins=plugins))
    for path in ("/labels", "/labels/one", "/labels/other", "/labels/one/x", "/labels/other/x"):
        assert client.get(path).status_code == 200, path


# --- routes of the API ---


@pytest.mark.proves("SC-002", "SC-005")
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("task", "s"),
        ("task", "s/{task_id}"),
        ("task", "{rest:path}"),
        ("task", "{rest}"),
        ("audi", "t"),
        ("open", "/../tasks"),
        ("open", "/x/../../tasks/{task_id}"),
        ("open", "/.."),
    ],
)
@pytest.mark.parametrize("public", [True, False])
def test_a_route_at_another_plugins_path_stops_the_start(
    settings: Settings, name: str, path: str, public: bool
) -> None:
    plugin = Plugin(name, {"v1": routing(path)}, public=public)
    with pytest.raises(PluginError, match=rf"plugin '{name}': .* not below /api/v1/{name}/"):
        create_app(settings, plugins=[plugin])


@pytest.mark.proves("SC-002", "SC-005")
def test_a_public_plugin_is_public_at_its_own_path_only(settings: Settings) -> None:
    plugins = [
        Plugin("open", {"v1": routing("", "/{rest:path}")}, public=True),
        Plugin("open-not", {"v1": routing("", "/{rest:path}")}),
        Plugin("opened", {"v1": routing("", "/{rest:path}")}),
    ]
    client = TestClient(create_app(settings, plugins=plugins))
    for path in ("", "/", "/x", "/x/y", "/..%2ftasks"):
        assert client.get(f"/api/v1/open{path}").json() == "reached without a token"
    for path in (
        "open-not",
        "open-not/x",
        "opened",
        "opened/x",
        "tasks",
        "tasks/x",
        "open/../tasks",
    ):
        assert client.get(f"/api/v1/{path}").status_code == 401, path
    for path in ("/api/v2/open", "/api/v1/OPEN", "/api/v1", "/api", "/v1/open"):
        problem(client.get(path), 404, "not_found")


def test_routes_added_to_a_router_later_are_not_served(settings: Settings) -> None:
    router = routing("/known")
    app = create_app(settings, plugins=[Plugin("late", {"v1": router}, operations=routing("/ops"))])
    router.add_api_route("/later", secret)
    client = TestClient(app)
    assert client.get("/api/v1/late/known").status_code == 401
    assert client.get("/api/v1/late/later").status_code == 404


# --- routes that are added to the application ---


class Everything:
    """An application that answers every request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("reached without a token")(scope, receive, send)


def directory() -> str:
    return str(Path(__file__).parent)


def decorating(method: str) -> Callable[[Any], object]:
    return lambda app: getattr(app, method)("/leak")(secret)


WAYS: dict[str, Callable[[Any], object]] = {
    "include_router": lambda app: app.include_router(routing("/leak")),
    "include_router with a prefix": lambda app: app.include_router(
        routing("/leak"), prefix="/api/v1"
    ),
    "include_router of nothing": lambda app: app.include_router(APIRouter()),
    "router.include_router": lambda app: app.router.include_router(routing("/leak")),
    **{
        method: decorating(method)
        for method in ("get", "put", "post", "delete", "options", "head", "patch", "trace")
    },
    "router.get": lambda app: app.router.get("/leak")(secret),
    "router.api_route": lambda app: app.router.api_route("/leak")(secret),
    "api_route": lambda app: app.api_route("/leak")(secret),
    "add_api_route": lambda app: app.add_api_route("/leak", secret),
    "router.add_api_route": lambda app: app.router.add_api_route("/leak", secret),
    "add_route": lambda app: app.add_route("/leak", secret_response),
    "router.add_route": lambda app: app.router.add_route("/leak", secret_response),
    "router.route": lambda app: app.router.route("/leak")(secret_response),
    "mount": lambda app: app.mount("/leak", Everything()),
    "mount at the root": lambda app: app.mount("", Everything()),
    "router.mount": lambda app: app.router.mount("/leak", Everything()),
    "host": lambda app: app.host("testserver", Everything()),
    "websocket": lambda app: app.websocket("/leak")(secret_socket),
    "add_api_websocket_route": lambda app: app.add_api_websocket_route("/leak", secret_socket),
    "router.add_websocket_route": lambda app: app.router.add_websocket_route(
        "/leak", secret_socket
    ),
    "frontend": lambda app: app.frontend("/leak", directory=directory()),
    "router.frontend": lambda app: app.router.frontend("/leak", directory=directory()),
    "routes.append": lambda app: app.routes.append(Route("/leak", secret_response)),
    "router.routes.append": lambda app: app.router.routes.append(Route("/leak", secret_response)),
    "routes.insert": lambda app: app.routes.insert(0, Mount("/", Everything())),
    "routes.extend": lambda app: app.routes.extend([Route("/leak", secret_response)]),
    "routes[0] =": lambda app: app.routes.__setitem__(0, Route("/leak", secret_response)),
    "routes[:0] =": lambda app: app.routes.__setitem__(
        slice(0, 0), [Route("/leak", secret_response)]
    ),
    "routes +=": lambda app: app.routes.__iadd__([Route("/leak", secret_response)]),
    "routes *=": lambda app: app.routes.__imul__(2),
    "routes =": lambda app: setattr(app.router, "routes", [Route("/leak", secret_response)]),
    "routes.clear": lambda app: app.routes.clear(),
    "routes.pop": lambda app: app.routes.pop(),
    "routes.remove": lambda app: app.routes.remove(app.routes[0]),
    "del routes[0]": lambda app: app.routes.__delitem__(0),
    "routes.reverse": lambda app: app.routes.reverse(),
    "routes.sort": lambda app: app.routes.sort(key=id),
}


@pytest.fixture(scope="module")
def own_app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.mark.proves("SC-002", "SC-005")
@pytest.mark.parametrize("way", WAYS)
def test_adding_a_route_to_the_application_is_refused(own_app: FastAPI, way: str) -> None:
    before = list(own_app.routes)
    with pytest.raises(PluginError, match=r"no further routes.*Plugin.*mount"):
        WAYS[way](own_app)
    assert list(own_app.routes) == before
    client = TestClient(own_app)
    for path in ("/leak", "/api/v1/leak", "/leak/conftest.py"):
        problem(client.get(path), 404, "not_found")
    problem(client.get(TASKS), 401, "missing_token")


def test_a_plugins_lifespan_cannot_add_a_route(settings: Settings) -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.include_router(routing("/leak"))
        yield

    app = create_app(settings, plugins=[Plugin("late", lifespan=lifespan)])
    with (
        pytest.raises(
            PluginError, match=r"plugin 'late': its lifespan failed: .*no further routes"
        ),
        TestClient(app),
    ):
        pass


# --- what an embedder may still do ---


class Marking:
    """A middleware of an embedder."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-marked", b"yes")]
            await send(message)

        await self.app(scope, receive, marked)


class Teapot(Exception):
    """An exception of an embedder's plugin."""


def test_middleware_handlers_state_and_overrides_still_work(
    settings: Settings, alice: User
) -> None:
    router = APIRouter()

    @router.get("/teapot")
    async def get_teapot() -> None:
        raise Teapot

    app = create_app(settings, plugins=[Plugin("tea", {"v1": router}, public=True)])
    app.add_middleware(Marking)
    app.state.mine = "kept"

    @app.middleware("http")
    async def second(request: Request, call_next: Callable[[Request], Any]) -> Response:
        response: Response = await call_next(request)
        response.headers["X-Second"] = request.app.state.mine
        return response

    @app.exception_handler(Teapot)
    async def answer(_request: Request, _error: Exception) -> Response:
        return Response(status_code=418)

    headers = {"Authorization": alice.client.headers["Authorization"]}
    with TestClient(app) as client:
        for answered in (
            client.get(TASKS),
            client.get("/leak"),
            client.get(TASKS, headers=headers),
        ):
            assert (answered.headers["x-marked"], answered.headers["x-second"]) == ("yes", "kept")
            assert "x-request-id" in answered.headers
        assert answered.status_code == 200
        problem(client.get(TASKS), 401, "missing_token")
        assert client.get("/api/v1/tea/teapot").status_code == 418


def test_a_larger_application_has_its_own_routes_beside_the_service(settings: Settings) -> None:
    outer = FastAPI()
    outer.include_router(routing("/mine"))
    outer.mount("", create_app(settings))
    client = TestClient(outer)
    assert client.get("/mine").json() == "reached without a token"
    problem(client.get(TASKS), 401, "missing_token")
    assert client.get("/livez").json() == {"status": "alive"}


@pytest.mark.parametrize("prefix", ["", "/todo"])
def test_the_services_router_cannot_be_included(settings: Settings, prefix: str) -> None:
    """It answered 404 everywhere, without the service's format."""
    for outer in (FastAPI(), APIRouter()):
        with pytest.raises(PluginError, match="mount the service"):
            outer.include_router(create_app(settings).router, prefix=prefix)
        assert not any(getattr(route, "path", "") == TASKS for route in outer.routes)


def test_an_operation_outside_the_schema_does_not_change_the_document(settings: Settings) -> None:
    hidden = APIRouter(tags=["hidden"])
    hidden.add_api_route("/hidden", secret, include_in_schema=False)
    app = create_app(settings, plugins=[Plugin("hidden", operations=hidden)])
    assert app.openapi() == create_app(settings).openapi()
    assert TestClient(app).get("/openapi.json").status_code == 200
