"""The documentation page over HTTP. `tests/browser` tests it in a browser."""

import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from support.service import connected, rest

from tasks_backend import Settings, create_app
from tasks_backend.dev.app import build
from tasks_backend.dev.issuer import DATA_DIRECTORY, Issuer
from tasks_backend.dev.settings import load_settings
from tasks_backend.openapi.docs_page import POLICY
from tasks_backend.testing.service import problem, served

TYPES = {"css": "text/css", "js": "text/javascript", "png": "image/png"}


def assets(page: httpx2.Response) -> list[str]:
    """The addresses of all files that the page loads."""
    return re.findall(r'(?:href|src)="([^"]+\.(?:css|js|png))"', page.text)


def test_the_page_loads_only_its_own_files(anonymous: httpx2.Client) -> None:
    page = anonymous.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "<title>tasks_backend API</title>" in page.text
    assert "//" not in page.text, "no address of another host"
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|javascript:", page.text)
    assert "development" not in page.text


def test_the_content_security_policy_allows_only_what_swagger_ui_needs() -> None:
    directives = dict(part.strip().split(" ", 1) for part in POLICY.split(";"))
    opened = {name: value for name, value in directives.items() if value != "'none'"}
    assert opened == {
        **dict.fromkeys(("script-src", "style-src", "connect-src"), "'self'"),
        "img-src": "'self' data:",
    }
    for name in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert name in directives  # the last three do not fall back to default-src


def test_every_asset_is_served_as_immutable(anonymous: httpx2.Client) -> None:
    addresses = assets(anonymous.get("/docs"))
    assert len(addresses) == 5
    for address in addresses:
        asset = anonymous.get(f"/{address}")
        assert asset.status_code == 200
        assert asset.headers["content-type"].split(";")[0] == TYPES[address.rpartition(".")[2]]
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.headers["x-content-type-options"] == "nosniff"


def test_swagger_ui_is_the_unchanged_package(anonymous: httpx2.Client) -> None:
    (address,) = (found for found in assets(anonymous.get("/docs")) if "bundle" in found)
    package = files("fastapi_swagger.resources").joinpath("swagger-ui-bundle.js").read_bytes()
    served_digest = hashlib.sha256(anonymous.get(f"/{address}").content).hexdigest()
    assert served_digest == hashlib.sha256(package).hexdigest()


@pytest.mark.parametrize(
    "target",
    r"""
    /docs/ /docs/x /docs/development.js /docs/token?user=alice
    {assets}/ {assets}/page.html {assets}/__init__.py {assets}/Page.css
    {assets}/../../app.py {assets}/..%2f..%2fapp.py {assets}/%2e%2e/%2e%2e/app.py
    {assets}/..\..\app.py {assets}/..%5c..%5capp.py {assets}//etc/passwd
    {assets}/page.css%00.js {assets}/page.css/ {assets}/./page.css
    //{assets}/page.css /docs/0000000000000000/page.css /static/page.css
    """.split(),
)
def test_other_paths_are_not_found(anonymous: httpx2.Client, service: str, target: str) -> None:
    """The raw path is sent, not normalised by a client."""
    folder = "/" + assets(anonymous.get("/docs"))[0].rpartition("/")[0]
    target = target.replace("{assets}", folder)
    with connected(service) as connection:
        connection.sendall(
            f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        answer = rest(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 "), target
    assert b"content-type: application/problem+json" in head.lower()
    assert b'"code":"not_found"' in body


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_another_method_gets_a_problem_document(anonymous: httpx2.Client, path: str) -> None:
    response = anonymous.post(path)
    problem(response, 405, "method_not_allowed")
    assert "GET" in response.headers["allow"]


def test_without_documentation_no_path_of_it_is_served(settings: Settings) -> None:
    with (
        served(create_app(settings)) as url,
        served(create_app(settings.model_copy(update={"docs_enabled": False}))) as off,
        httpx2.Client(timeout=30) as client,
    ):
        for path in ("docs", "openapi.json", *assets(client.get(f"{url}/docs"))):
            assert client.get(f"{url}/{path}").status_code == 200
            problem(client.get(f"{off}/{path}"), 404, "not_found")


@pytest.fixture(params=["mounted", "behind a proxy"])
def prefixed(request: pytest.FixtureRequest, settings: Settings) -> Iterator[str]:
    """The service mounted at `/tasks` of another application."""
    app = create_app(settings)
    outer = FastAPI()
    outer.mount("/tasks", app)

    async def proxied(scope: Scope, receive: Receive, send: Send) -> None:
        """The effect of a proxy that strips the prefix and of uvicorn's `--root-path`."""
        await app({**scope, "root_path": "/tasks"}, receive, send)

    with served(outer if request.param == "mounted" else proxied) as url:  # type: ignore[arg-type] # uvicorn takes any ASGI application
        yield f"{url}/tasks"


def test_the_page_works_under_a_prefix(prefixed: str) -> None:
    with httpx2.Client(timeout=30) as client:
        page = client.get(f"{prefixed}/docs")
        for address in [*assets(page), "openapi.json"]:
            assert client.get(urljoin(f"{prefixed}/docs", address)).status_code == 200
        (server,) = client.get(f"{prefixed}/openapi.json").json()["servers"]
        assert server["url"] == "/tasks"


def test_the_document_is_the_applications_own(settings: Settings, anonymous: httpx2.Client) -> None:
    shown = anonymous.get("/openapi.json").json()
    assert shown == create_app(settings).openapi()
    assert [server["url"] for server in shown["servers"]] == ["/"]


@pytest.fixture
def development(settings: Settings, tmp_path: Path) -> Iterator[httpx2.Client]:
    """The application with what `dev` adds to the page."""
    issuer = Issuer(tmp_path)
    issuer.make_key()
    app = build(load_settings(settings.database_url), issuer)
    with served(app) as url, httpx2.Client(base_url=url, timeout=30) as client:
        yield client


def test_no_environment_variable_makes_a_deployed_page_offer_a_token(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`serve` creates its application in this way, here with the environment of `dev`."""
    Issuer(tmp_path).make_key()
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATABASE_URL": settings.database_url,
        "BETTER_AUTH_URL": "http://127.0.0.1:1",
        "TAKES_DEVELOPMENT_KEYS": "true",
        DATA_DIRECTORY: str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    with served(create_app()) as url, httpx2.Client(base_url=url, timeout=30) as client:
        assert "development" not in client.get("/docs").text
        for path in ("/docs/development.js", "/docs/token?user=alice"):
            problem(client.get(path), 404, "not_found")


def test_in_development_a_token_is_offered(development: httpx2.Client) -> None:
    assert '<script src="docs/development.js" defer>' in development.get("/docs").text
    script = development.get("/docs/development.js")
    assert (script.status_code, script.headers["cache-control"]) == (200, "no-store")
    offered = development.get("/docs/token", params={"user": "alice"})
    assert offered.headers["cache-control"] == "no-store"
    assert re.fullmatch(r"ey[\w-]+\.ey[\w-]+\.[\w-]+", offered.json()["token"])


@pytest.mark.parametrize(
    ("query", "host"),
    [
        ("user=mallory", "127.0.0.1:8000"),
        ("user=", "127.0.0.1:8000"),
        ("", "127.0.0.1:8000"),
        ("user=alice", "rebound.example.com:8000"),
        ("user=alice", "127.0.0.1.example.com"),
        ("user=alice", "localhost.example.com"),
        ("user=alice", ""),
    ],
)
def test_a_token_is_offered_only_on_loopback_names_and_for_two_users(
    development: httpx2.Client, query: str, host: str
) -> None:
    problem(development.get(f"/docs/token?{query}", headers={"Host": host}), 404, "not_found")
