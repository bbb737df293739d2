"""Requests beyond the limit are refused at once, those of the busiest sender first (FR-012)."""

import contextlib
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse

import httpx2
import psycopg2
import pytest
from fastapi import FastAPI
from support.service import at_rest, connected, rest

from tasks_backend import Settings, create_app
from tasks_backend.errors import Overloaded
from tasks_backend.http import counted_warning
from tasks_backend.http.limiter import ConcurrencyLimiter
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer
from tasks_backend.testing.waiting import until

TASKS = "/api/v1/tasks"
LIMIT = 8


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_one_sender_gets_half_of_the_slots_and_the_next_one_gets_some() -> None:
    limiter = ConcurrencyLimiter(512)
    for flood, expected in (("a", 256), ("b", 128), ("c", 64)):
        taken = 0
        with contextlib.suppress(Overloaded):
            while True:
                limiter.acquire(flood)
                taken += 1
        assert taken == expected
    for number in range(30):
        limiter.acquire(f"one-{number}")
    assert limiter.refused == 3


@pytest.mark.anyio
async def test_a_slot_is_always_released() -> None:
    limiter = ConcurrencyLimiter(4)
    for _ in range(100):
        with limiter.acquire("token", "user"), limiter.acquire("another token", "user"):
            with pytest.raises(Overloaded):
                limiter.acquire("a third token", "user")
            limiter.require_place("a third token")
        with pytest.raises(ZeroDivisionError), limiter.acquire("token", "user"):
            _ = 1 // 0
    assert (limiter.left, limiter.senders) == (4, 0)


@pytest.fixture
def busy(settings: Settings, database: str) -> Iterator[FastAPI]:
    """The application with few places, while no API request can end."""
    few = {"max_concurrent_requests": LIMIT, "pool_size": 1, "pool_timeout": 30.0}
    app = create_app(settings.model_copy(update=few))
    blocker = psycopg2.connect(database)
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE tasks_backend.tasks IN ACCESS EXCLUSIVE MODE")
    app.state.release = blocker.close
    yield app
    blocker.close()


def sent(base: str, token: str, *more: str, method: str = "GET", body: str = "") -> socket.socket:
    """A connection on which a request was sent and nothing was read."""
    connection = connected(base)
    head = (f"{method} {TASKS} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", *more)
    connection.sendall("\r\n".join([*head, "", body]).encode())
    return connection


def answer(connection: socket.socket) -> httpx2.Response:
    """Read the answer; the connection may stay open."""
    response = HTTPResponse(connection)
    response.begin()
    return httpx2.Response(response.status, headers=response.getheaders(), content=response.read())


def warm(base: str, signer: Signer) -> None:
    """Fetch the key set first: if many requests wait for it, some are refused."""
    headers = {"Authorization": f"Bearer {signer.token('warm')}"}
    assert httpx2.get(f"{base}{TASKS}?limit=0", headers=headers).status_code == 422


def settled(app: FastAPI, left: int) -> None:
    """Return when this number of places is free."""
    give_up = time.monotonic() + 20
    limiter = app.state.bounds.limiter
    while limiter.left != left:
        assert time.monotonic() < give_up, limiter.left
        time.sleep(0.005)


@pytest.mark.proves("FR-012")
def test_a_flood_is_refused_at_once_and_another_user_is_served(
    busy: FastAPI, signer: Signer
) -> None:
    with served(busy) as base:
        warm(base, signer)
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


def test_a_refused_connection_stays_open(busy: FastAPI, signer: Signer) -> None:
    """With an unread body, with pipelined requests, and after the overload."""
    token = signer.token("flood")
    with served(busy) as base:
        warm(base, signer)
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


def test_refusals_are_counted_in_one_log_line_and_their_end_is_said(
    busy: FastAPI,
    signer: Signer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both those of the protocol, for requests without a body, and those of the gate."""
    caplog.set_level("INFO", logger="tasks_backend")
    monkeypatch.setattr(counted_warning, "REPEAT", 1.0)
    token = signer.token("flood")
    with served(busy) as base:
        warm(base, signer)
        waiting = [sent(base, token) for _ in range(4)]
        settled(busy, 4)
        for method, head in (("GET", ()), ("POST", ("Content-Length: 2",))):
            for _ in range(3):
                refused = sent(base, token, *head, method=method, body="{}" if head else "")
                problem(answer(refused), 503, "overloaded")
                refused.close()
        until(lambda: "6 requests refused: overloaded" in caplog.messages)
        assert not [line for line in caplog.records if getattr(line, "status", None) == 503]
        busy.state.release()
        for each in waiting:
            each.close()
        settled(busy, LIMIT)
        (line,) = [line for line in caplog.records if "requests refused" in line.getMessage()]
        assert {name: vars(line)[name] for name in ("in_use", "limit", "senders")} == {
            "in_use": 4,
            "limit": LIMIT,
            "senders": 2,
        }
        ended = "requests are no longer refused; the overload lasted 0 s"
        until(lambda: ended in caplog.messages)


def test_a_page_of_a_listed_origin_can_read_a_refusal(busy: FastAPI, signer: Signer) -> None:
    token, origin = signer.token("flood"), "https://app.example.com"
    with served(busy) as base:
        warm(base, signer)
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


def test_a_refusal_honours_connection_close(busy: FastAPI, signer: Signer) -> None:
    token = signer.token("flood")
    with served(busy) as base:
        warm(base, signer)
        waiting = [sent(base, token) for _ in range(4)]
        settled(busy, 4)
        connection = sent(base, token, "Connection: close")
        assert b"connection: close" in rest(connection)
        busy.state.release()
        for each in (*waiting, connection):
            each.close()
        settled(busy, LIMIT)


@pytest.mark.proves("EDGE-9", "FR-018")
def test_an_invalid_head_keeps_no_slot(busy: FastAPI) -> None:
    """In 0.1: each took a place that was never released."""
    with served(busy) as base:
        for number in range(3 * LIMIT):
            with connected(base) as connection:
                start = f"GET /api/{'x' * 65_600}".encode()
                rest = f" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {number}\r\n\r\n".encode()
                connection.sendall(start)
                with contextlib.suppress(ConnectionError):
                    connection.sendall(rest)
                    connection.recv(65536)
        assert httpx2.get(f"{base}{TASKS}").status_code == 401
        at_rest(busy)


@pytest.mark.proves("EDGE-9", "FR-018")
def test_unfinished_bodies_do_not_block_other_users(busy: FastAPI, signer: Signer) -> None:
    """In 0.1: one user with many tokens in many spellings; none of them holds a place."""
    busy.state.release()
    head = "POST {path} HTTP/1.1\r\nHost: x\r\n{name}: {scheme} {token}\r\nContent-Type: application/json\r\n"
    with served(busy) as base:
        warm(base, signer)
        uploads = []
        for number in range(4 * LIMIT):
            uploads.append(connected(base))
            scheme = ("Bearer", "bearer", "BEARER ", "bEaReR   ")[number % 4]
            text = head.format(
                path=TASKS, name="Authorization", scheme=scheme, token=signer.token("slow")
            )
            uploads[-1].sendall(f"{text}Content-Length: 100\r\n\r\n{{".encode())
        bodies = busy.state.bounds.bodies
        until(lambda: bodies.waiting == LIMIT)
        assert busy.state.bounds.limiter.left == LIMIT
        for user in ("a", "b", "c"):
            headers = {"Authorization": f"Bearer {signer.token(user)}"}
            assert httpx2.get(f"{base}{TASKS}", headers=headers).status_code == 200
            created = httpx2.post(f"{base}{TASKS}", headers=headers, json={"title": "x"})
            assert created.status_code == 201
        refused = [answer(connection) for connection in uploads[: 3 * LIMIT]]
        for each in refused:
            problem(each, 503, "overloaded")
        for connection in uploads:
            connection.close()
        at_rest(busy)


def test_the_oldest_upload_of_the_busiest_sender_is_refused_for_another(
    busy: FastAPI, signer: Signer
) -> None:
    busy.state.release()
    with served(busy) as base:
        warm(base, signer)

        def upload(user: str) -> socket.socket:
            return sent(base, signer.token(user), "Content-Length: 9", method="POST", body="{")

        patient = upload("patient")
        until(lambda: busy.state.bounds.bodies.waiting == 1)
        flood = [upload("flood") for _ in range(LIMIT + 3)]
        for connection in flood[:4]:
            problem(answer(connection), 503, "overloaded")
        patient.sendall(b'"a": "b"')
        problem(answer(patient), 415, "unsupported_media_type")
        for connection in (patient, *flood):
            connection.close()
        at_rest(busy)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_refusal_of_head_has_no_body(busy: FastAPI, signer: Signer, method: str) -> None:
    """In 0.1: it had one, and the client misread the next answer."""
    token = signer.token("flood")
    with served(busy) as base:
        warm(base, signer)
        waiting = [sent(base, token) for _ in range(4)]
        settled(busy, 4)
        connection = sent(base, token, method=method)
        response = HTTPResponse(connection, method=method)
        response.begin()
        assert response.status == 503
        assert bool(response.read()) == (method == "GET")
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer(connection).json() == {"status": "alive"}
        busy.state.release()
        for each in (*waiting, connection):
            each.close()
        at_rest(busy)
