"""HEAD: the headers of GET without its body (RFC 9110, 9.3.2)."""

import asyncio

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from support.service import connected

from tasks_backend import Plugin, Settings, create_app
from tasks_backend.testing.service import User, problem, served

TASKS = "/api/v1/tasks"
NOBODYS = f"{TASKS}/019aa1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"
OF_ONE_RESPONSE = {"date", "x-request-id"}


def headers(response: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in OF_ONE_RESPONSE}


@pytest.mark.proves("FR-016", "EDGE-7")
def test_head_has_the_status_and_headers_of_get(alice: User, anonymous: httpx2.Client) -> None:
    own = f"{TASKS}/{alice.create()['id']}"
    alice.create()
    for client in (alice.client, anonymous):
        for path in (
            own,
            NOBODYS,
            TASKS,
            f"{TASKS}?limit=1&count=true",
            f"{TASKS}?limit=0",
            f"{TASKS}?cursor=x",
            "/livez",
            "/readyz",
            "/docs",
            "/openapi.json",
            "/nothing",
            "/api/v1/nothing",
        ):
            read, asked = client.get(path), client.head(path)
            assert (asked.status_code, asked.content) == (read.status_code, b""), path
            assert headers(asked).keys() == headers(read).keys(), path
            if "json" not in read.headers["content-type"] or read.status_code == 200:
                assert headers(asked) == headers(read), path


@pytest.mark.proves("FR-016")
def test_head_is_refused_where_there_is_no_get(alice: User) -> None:
    response = alice.client.head(f"{NOBODYS}/toggle")
    assert (response.status_code, response.headers["allow"], response.content) == (405, "POST", b"")


@pytest.mark.proves("FR-016", "EDGE-7")
def test_a_response_after_head_is_in_step(service: str, alice: User) -> None:
    """Four responses to HEAD on one connection, then one to GET: no body is between them."""
    token = alice.client.headers["authorization"]
    with connected(service) as connection:
        for path in (TASKS, f"{TASKS}?limit=0", "/livez", "/nothing"):
            request = f"HEAD {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
            connection.sendall(request.encode())
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while more := connection.recv(65536):
            received += more
    answers = received.split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"422", b"200", b"404", b"200"]
    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in answers]
    assert bodies == [b"", b"", b"", b"", b'{"status":"alive"}']


async def _asgi_bodies(app: FastAPI, path: str) -> bytes:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.head(path)).content


def test_no_body_is_given_to_any_server(settings: Settings) -> None:
    app = create_app(settings)
    for path in ("/livez", "/nothing", TASKS):
        assert asyncio.run(_asgi_bodies(app, path)) == b""


def test_a_plugin_answers_head_as_it_answers_get(settings: Settings) -> None:
    router = APIRouter()

    @router.get("/plain")
    async def plain() -> dict[str, str]:
        return {"a": "b"}

    @router.get("/own")
    async def read() -> dict[str, str]:
        return {"from": "get"}

    @router.head("/own", status_code=204)
    async def head() -> None:
        return None

    app = create_app(settings, plugins=[Plugin(name="more", routers={"v1": router}, public=True)])
    with served(app) as base, httpx2.Client(base_url=base) as client:
        assert client.head("/api/v1/more/plain").headers["content-length"] == "9"
        assert client.head("/api/v1/more/own").status_code == 204
        refused = problem(client.post("/api/v1/more/own"), 405, "method_not_allowed")
        assert refused["status"] == 405
        assert client.post("/api/v1/more/own").headers["allow"] == "GET, HEAD"
