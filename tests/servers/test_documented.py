"""The table of docs/embedding.md, and its function for Lambda's gateways."""

import asyncio
import os
from collections.abc import Iterator

import httpx2
import pytest
from mangum import Mangum

from servers.documented import MARKERS, rows
from servers.everyday import TASKS, live
from servers.gateway import FORMS, Gateway
from servers.programs import DOCUMENT, program
from tasks_backend import Settings, create_app
from tasks_backend.testing.service import problem


def test_the_table_is_the_documented_one(pytestconfig: pytest.Config) -> None:
    """`nox -s servers -- --write-servers` renews it."""
    text = DOCUMENT.read_text()
    if pytestconfig.getoption("write_servers"):
        DOCUMENT.write_text(MARKERS.sub(lambda _: rows(), text))
    (shown,) = MARKERS.findall(DOCUMENT.read_text())
    assert shown == rows()


@pytest.fixture
def loop() -> Iterator[None]:
    """The loop of a function, which runs only during a call."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield
    made.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def function(loop: None, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Mangum:
    """The documented function."""
    for name, value in variables.items():
        monkeypatch.setitem(os.environ, name, value)
    names: dict[str, object] = {}
    exec(program("function.py").replace("configure_logging()", ""), names)
    handler = names["handler"]
    assert isinstance(handler, Mangum)
    return handler


@pytest.mark.parametrize("form", FORMS)
def test_everyday_life_behind_a_gateway(function: Mangum, bearer: str, form: str) -> None:
    gateway = Gateway(function, form)
    with (
        httpx2.Client(
            transport=gateway, base_url="https://x", headers={"Authorization": bearer}
        ) as client,
        httpx2.Client(transport=gateway, base_url="https://x") as stranger,
    ):
        live(client, stranger)
        problem(stranger.get(TASKS), 401, "missing_token")
        assert gateway.returned["isBase64Encoded"] is False
        pool = function.app.state.database.pool  # type: ignore[attr-defined] # it is a FastAPI
        assert pool.idle == 1, "the connection is kept between calls"


@pytest.mark.parametrize("form", FORMS)
def test_what_the_defaults_of_mangum_change(
    loop: None, settings: Settings, bearer: str, form: str
) -> None:
    """As docs/embedding.md says: a connection for each call, problems in Base64, no prefix."""
    app = create_app(settings)
    gateway = Gateway(Mangum(app, api_gateway_base_path="/prod"), form)
    with httpx2.Client(
        transport=gateway, base_url="https://x", headers={"Authorization": bearer}
    ) as client:
        made = client.post(f"/prod{TASKS}", json={"title": "x"})
        if form == "load balancer":  # takes no base path
            problem(made, 404, "not_found")
        else:
            assert made.headers["location"].startswith(f"{TASKS}/")
        problem(client.get("/prod/nothing"), 404, "not_found")
        assert gateway.returned["isBase64Encoded"] is True
        assert app.state.database.pool.idle == 0
