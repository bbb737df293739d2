"""More than can be worked on is refused at once, and the one who floods first (FR-012)."""

import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse

import httpx2
import psycopg2
import pytest
from fastapi import FastAPI
from support.service import connected, problem, served
from support.signing import Signer

from tasks_backend import Settings, create_app
from tasks_backend.admission import Admission

TASKS = "/api/v1/tasks"
LIMIT = 8


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_one_flood_gets_half_and_there_is_always_room_for_the_next() -> None:
    admission = Admission(512)
    for flood, expected in ((b"a", 256), (b"b", 128), (b"c", 64)):
        taken = 0
        while admission.take(flood):
            taken += 1
        assert taken == expected
    assert all(admission.take(f"one-{n}".encode()) for n in range(30))
    assert admission.refused == 3


@pytest.mark.anyio
async def test_what_is_given_back_can_be_taken_again() -> None:
    admission = Admission(4)
    for _ in range(100):
        assert admission.take(b"a")
        assert admission.take(b"a")
        assert not admission.take(b"a")
        admission.give(b"a")
        admission.give(b"a")
    assert admission.left == 4


@pytest.fixture
def busy(settings: Settings, database: str) -> Iterator[FastAPI]:
    """The application with few places, while no request of the API can end."""
    few = {"max_concurrent_requests": LIMIT, "pool_size": 1, "pool_timeout": 30.0}
    app = create_app(settings.model_copy(update=few))
    blocker = psycopg2.connect(database)
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE tasks_backend.tasks IN ACCESS EXCLUSIVE MODE")
    app.state.release = blocker.close
    yield app
    blocker.close()


def sent(base: str, token: str, *more: str, method: str = "GET", body: str = "") -> socket.socket:
    """A connection on which a request was sent, and nothing read."""
    connection = connected(base)
    head = (f"{method} {TASKS} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", *more)
    connection.sendall("\r\n".join([*head, "", body]).encode())
    return connection


def answer(connection: socket.socket) -> httpx2.Response:
    """The answer to it, of a connection that may live on."""
    response = HTTPResponse(connection)
    response.begin()
    return httpx2.Response(response.status, headers=response.getheaders(), content=response.read())


def settled(app: FastAPI, left: int) -> None:
    """Return when so many places are left."""
    give_up = time.monotonic() + 20
    while app.state.admission.left != left:
        assert time.monotonic() < give_up, app.state.admission.left
        time.sleep(0.005)


@pytest.mark.proves("FR-012")
def test_a_flood_is_refused_at_once_and_another_user_is_served(
    busy: FastAPI, signer: Signer
) -> None:
    with served(busy) as base:
        flood = [sent(base, signer.token("flood")) for _ in range(10)]
        settled(busy, LIMIT // 2)
        for refused in flood[4:]:
            problem(answer(refused), 503, "overloaded")
        other = sent(base, signer.token("other"))
        settled(busy, LIMIT // 2 - 1)
        assert httpx2.get(f"{base}/livez").status_code == 200
        busy.state.release()
        assert {answer(connection).status_code for connection in (*flood[:4], other)} == {200}
        settled(busy, LIMIT)
        for connection in (*flood, other):
            connection.close()


def test_a_refused_connection_goes_on(busy: FastAPI, signer: Signer) -> None:
    """With its body unread, with requests on top of one another, and when all is well again."""
    token = signer.token("flood")
    with served(busy) as base:
        waiting = [sent(base, token) for _ in range(4)]
        settled(busy, 4)
        create = ("X-Request-Id: mine", "Content-Type: application/json", "Content-Length: 13")
        connection = sent(base, token, *create, method="POST", body='{"title":"x"}')
        first = answer(connection)
        assert problem(first, 503, "overloaded")["request_id"] == "mine"
        assert problem(first, 503, "overloaded")["instance"] == TASKS
        livez = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(livez)
        assert answer(connection).status_code == 200
        busy.state.release()
        assert {answer(each).status_code for each in waiting} == {200}
        settled(busy, LIMIT)
        again = f"GET {TASKS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        connection.sendall(again.encode())
        assert answer(connection).status_code == 200
        for each in (*waiting, connection):
            each.close()


def test_a_browser_may_read_that_it_is_refused(busy: FastAPI, signer: Signer) -> None:
    token, origin = signer.token("flood"), "https://app.example.com"
    with served(busy) as base:
        waiting = [sent(base, token) for _ in range(4)]
        settled(busy, 4)
        connection = sent(base, token, f"Origin: {origin}")
        refused = answer(connection)
        problem(refused, 503, "overloaded")
        assert refused.headers["access-control-allow-origin"] == origin
        busy.state.release()
        for each in (*waiting, connection):
            each.close()
        settled(busy, LIMIT)


def test_who_wants_the_connection_closed_gets_that_with_the_refusal(
    busy: FastAPI, signer: Signer
) -> None:
    token = signer.token("flood")
    with served(busy) as base:
        waiting = [sent(base, token) for _ in range(4)]
        settled(busy, 4)
        connection = sent(base, token, "Connection: close")
        assert b"connection: close" in b"".join(iter(lambda: connection.recv(65536), b""))
        busy.state.release()
        for each in (*waiting, connection):
            each.close()
        settled(busy, LIMIT)
