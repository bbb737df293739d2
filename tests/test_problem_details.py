"""Standard headers of all responses, and the problem format of all failures."""

import contextlib
import logging
from collections.abc import Iterator

import httpx2
import pytest
from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from pydantic import BaseModel
from support.service import connected, one_answer

from tasks_backend import Plugin, Settings, create_app
from tasks_backend.testing.service import User, problem, served

ORIGIN = {"Origin": "https://app.example.com"}


class Thing(BaseModel):
    name: str


router = APIRouter()


@router.get("/crash")
async def crash() -> None:
    raise RuntimeError("s3cret of the crash")


@router.get("/late-crash")
async def late_crash() -> Response:
    class Breaking(Response):
        async def __call__(self, scope, receive, send):  # type: ignore[no-untyped-def] # as Starlette's
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError("half way")

    return Breaking()


@router.get("/teapot")
async def teapot() -> None:
    raise HTTPException(418, "Short and stout.", {"X-Own": "kept"})


@router.get("/odd")
async def odd() -> None:
    raise HTTPException(499, "Odd.")


@router.get("/gone")
async def gone() -> Response:
    return PlainTextResponse("s3cret text", 410, {"ETag": '"old"', "X-Own": "kept"})


@router.get("/unchanged")
async def unchanged() -> Response:
    return Response(status_code=304, headers={"ETag": '"7"'})


@router.get("/moved")
async def moved() -> Response:
    return RedirectResponse("/elsewhere")


@router.post("/things")
async def make(thing: Thing) -> Thing:
    return thing


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx2.Client]:
    app = create_app(settings, plugins=[Plugin("odd", {"v1": router}, public=True)])
    with served(app) as url, httpx2.Client(base_url=f"{url}/api/v1/odd", headers=ORIGIN) as client:
        yield client


@pytest.mark.proves("FR-011")
@pytest.mark.parametrize(
    ("path", "status", "code", "title", "detail"),
    [
        ("/crash", 500, "internal_error", "Internal error", "Something went wrong on our side."),
        ("/teapot", 418, "i_m_a_teapot", "I'm a Teapot", "Short and stout."),
        ("/odd", 499, "error", "Error", "Odd."),
        ("/gone", 410, "gone", "Gone", "Gone"),
        ("/nothing", 404, "not_found", "Not found", "Nothing is at this address."),
    ],
)
def test_all_failures_have_the_same_format(
    client: httpx2.Client, path: str, status: int, code: str, title: str, detail: str
) -> None:
    response = client.get(path)
    body = problem(response, status, code)
    assert (body["title"], body["detail"]) == (title, detail)
    assert body["instance"] == f"/api/v1/odd{path}"
    assert response.headers["access-control-allow-origin"] == ORIGIN["Origin"]
    assert "s3cret" not in response.text
    assert "etag" not in response.headers


def test_a_redirect_and_a_304_are_left_unchanged(client: httpx2.Client) -> None:
    """They are not failures: 304 has an ETag and no body (RFC 9110, 15.4.5)."""
    moved = client.get("/moved")
    assert (moved.status_code, moved.headers["location"]) == (307, "/elsewhere")
    for _ in range(3):
        unchanged = client.get("/unchanged")
        assert (unchanged.status_code, unchanged.headers["etag"]) == (304, '"7"')
        assert unchanged.content == b""
    assert "content-type" not in unchanged.headers


def test_the_headers_of_a_failure_are_kept(client: httpx2.Client) -> None:
    assert client.get("/teapot").headers["x-own"] == "kept"
    assert client.get("/gone").headers["x-own"] == "kept"


def test_a_crash_is_logged_with_the_id_that_the_client_got(
    client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "tasks_backend"):
        request_id = client.get("/crash").headers["x-request-id"]
    (record,) = caplog.records
    assert request_id in record.getMessage()
    assert record.exc_info is not None


def test_a_crash_after_the_first_byte_cuts_the_response_off(client: httpx2.Client) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        client.get("/late-crash")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"\xff", 400, "bad_request"),
        (b'{"name": 1}', 422, "validation_error"),
        (b"x" * 140_000, 413, "payload_too_large"),
    ],
)
def test_a_plugins_body_model_fails_in_the_same_format(
    client: httpx2.Client, content: bytes, status: int, code: str
) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (content, iter([content])):
        problem(client.post("/things", content=body, headers=headers), status, code)


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 64])
def test_a_harmless_request_id_is_kept(alice: User, given: str) -> None:
    for path in ("/api/v1/tasks", "/nothing"):
        response = alice.client.get(path, headers={"X-Request-Id": given})
        assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", [b"", b"x" * 65, b"a b", b"a/b", b"\xe9", b"<script>", b"a\tb"])
def test_any_other_request_id_is_replaced(alice: User, given: bytes) -> None:
    headers = {b"X-Request-Id": given}
    response = alice.client.get("/api/v1/tasks", headers=headers)
    assert response.headers["x-request-id"].encode() != given
    assert len(response.headers["x-request-id"]) == 32


@pytest.mark.proves("FR-011")
def test_every_success_carries_the_standard_headers(alice: User) -> None:
    task = alice.create()
    for method, path in (
        ("GET", "/api/v1/tasks"),
        ("GET", f"/api/v1/tasks/{task['id']}"),
        ("DELETE", f"/api/v1/tasks/{task['id']}"),
        ("GET", "/livez"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
    ):
        response = alice.client.request(method, path)
        assert response.is_success
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-request-id"]
        assert "server" not in response.headers


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_invalid_http_gets_a_problem_document(service: str, sent: bytes) -> None:
    with connected(service) as connection:
        connection.sendall(sent)
        received = b""
        while data := connection.recv(65536):
            received += data
            if b"errors" in received:
                break
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] in {b"400", b"401"}
    assert b"application/problem+json" in head
    assert b'"errors":[]' in body


@pytest.mark.parametrize(
    "begin",
    [
        b"GET / HTTP/1.1\r\nX-Long: ",
        b"GET /",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Long: ",
    ],
)
def test_an_endless_request_is_cut_off(service: str, begin: bytes) -> None:
    sent = 0
    with connected(service) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(begin)
        while sent < 100 * 2**20:
            connection.sendall(b"a" * 65536)
            sent += 65536
    assert sent < 10 * 2**20


def test_a_body_that_does_not_come_in_time_is_a_bad_request(
    settings: Settings, alice: User
) -> None:
    hurried = settings.model_copy(update={"request_timeout": 0.3})
    with served(create_app(hurried)) as url, connected(url) as connection:
        connection.sendall(
            b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + f"Authorization: {alice.client.headers['authorization']}\r\n".encode()
            + b'Content-Length: 100\r\n\r\n{"title'
        )
        answer = one_answer(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"bad_request"' in answer


def test_a_disconnect_in_the_body_is_not_logged_as_an_error(
    service: str, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    token = alice.client.headers["authorization"]
    with caplog.at_level(logging.WARNING):
        with connected(service) as connection:
            connection.sendall(
                b"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                + f"Authorization: {token}\r\n".encode()
                + b'Content-Length: 100\r\n\r\n{"title'
            )
        alice.create()
    assert caplog.records == []
