"""Every connection state has a timeout, and unread output is bounded (FR-018).

The bounds are small here; docs/reliability.md has the real values.
"""

import contextlib
import logging
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psycopg2
import pytest
from fastapi import APIRouter, FastAPI, Response
from starlette.responses import StreamingResponse
from support.service import at_rest, connected, one_answer, overloaded, rest

from tasks_backend import Plugin, Settings, create_app
from tasks_backend.serving import connection_bounds
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer
from tasks_backend.testing.waiting import until

pytestmark = pytest.mark.proves("FR-018", "EDGE-9")

TASKS = "/api/v1/tasks"
MEBIBYTE = 1024 * 1024
HEAD = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"

router = APIRouter()
taken = 0


@router.get("/large")
async def large() -> Response:
    return Response(b"x" * 24 * MEBIBYTE)


@router.get("/endless")
async def endless() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        global taken  # noqa: PLW0603 - counts what the server accepts
        while True:
            taken += 1
            yield b"x" * 65_536

    return StreamingResponse(pieces())


@pytest.fixture
def app(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The application with small bounds and two public routes with large responses."""
    for name, seconds in (
        ("CHECK_INTERVAL", 0.05),
        ("HEAD_TIMEOUT", 0.5),
        ("WRITE_STALL", 0.5),
        ("HALF_CLOSED_TIMEOUT", 0.5),
    ):
        monkeypatch.setattr(connection_bounds, name, seconds)
    few = {"max_concurrent_requests": 8, "request_timeout": 1.0, "pool_size": 1}
    plugin = Plugin(name="much", routers={"v1": router}, public=True)
    return create_app(settings.model_copy(update=few), plugins=[plugin])


@pytest.fixture
def base(app: FastAPI) -> Iterator[str]:
    with served(app) as url:
        yield url
        at_rest(app)


@pytest.mark.parametrize(
    ("before", "sent"),
    [
        (b"", b""),
        (b"", b"G"),
        (b"", b"GET /livez HTTP/1.1\r\nHost: x\r\nA: "),
        (b"", b"\r\n"),
        (HEAD, b"G"),
        (HEAD, b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n"),
    ],
    ids=["silence", "a byte", "half a head", "an empty line", "a byte later", "half a head later"],
)
def test_an_unfinished_head_ends_the_connection(base: str, before: bytes, sent: bytes) -> None:
    with connected(base) as connection:
        if before:
            connection.sendall(before)
            assert one_answer(connection).endswith(b'{"status":"alive"}')
        connection.sendall(sent)
        assert rest(connection) == b""


@pytest.mark.parametrize("together", [True, False], ids=["together", "a byte later"])
def test_half_a_head_after_a_refusal_ends_the_connection(
    app: FastAPI, base: str, together: bool
) -> None:
    """A refusal without a task bypasses uvicorn's timeouts; half a head must still time out."""
    with overloaded(app), connected(base) as connection:
        for end in (b"", b"G" if together else b""):
            connection.sendall(f"GET {TASKS} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + end)
            refused = one_answer(connection)
            assert end or refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\ndate: ")
            assert b"connection:" not in refused
        if not together:
            time.sleep(2 * connection_bounds.HEAD_TIMEOUT)
            connection.sendall(b"G")
        assert rest(connection) == b""


def test_a_head_sent_byte_by_byte_ends_the_connection(base: str) -> None:
    """The timeout is for the whole head; a new byte does not restart it."""
    with connected(base) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET /")
        for _ in range(400):
            connection.sendall(b"a")
            if select.select([connection], [], [], 0.05)[0]:
                assert connection.recv(1) == b""
                return
        pytest.fail("it never ended")


def test_a_connection_between_two_requests_may_wait_longer(base: str) -> None:
    with connected(base) as connection:
        for _ in range(2):
            connection.sendall(HEAD)
            assert one_answer(connection).endswith(b'{"status":"alive"}')
            time.sleep(1.0)  # twice the timeout of a head


def test_an_unfinished_body_is_refused_and_ends_the_connection(base: str, signer: Signer) -> None:
    token = signer.token("slow")
    with connected(base) as connection:
        connection.sendall(
            f"POST {TASKS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.parametrize("path", [TASKS, "/nothing", "/livez", "/docs"])
@pytest.mark.parametrize("size", ["Content-Length: 100000000000", "Transfer-Encoding: chunked"])
def test_a_refused_endless_body_is_not_read_forever(base: str, path: str, size: str) -> None:
    """The client can read the answer while it still sends (RFC 9112, 9.6)."""
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    sent = 0
    with connected(base) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{size}\r\n\r\n".encode())
        answer = one_answer(connection)
        with contextlib.suppress(ConnectionError):
            while sent < 1024:
                connection.sendall(chunk)
                sent += 1
    assert answer.split(b" ")[1] in {b"401", b"404", b"405"}
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert sent < 1024


def test_a_refused_body_that_is_complete_keeps_the_connection_open(base: str) -> None:
    with connected(base) as connection:
        for _ in range(3):
            connection.sendall(
                f"POST {TASKS} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
            )
            answer = one_answer(connection)
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b"connection: close" not in answer.lower()


def test_a_refused_request_with_expect_gets_no_100(base: str) -> None:
    with connected(base) as connection:
        connection.sendall(
            f"POST {TASKS} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            "Content-Length: 2\r\n\r\n".encode()
        )
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"100 Continue" not in answer
    assert b"\r\nconnection: close\r\n" in answer.lower()


def unread(base: str, path: str) -> socket.socket:
    """A connection with a request whose response is read slowly or not at all."""
    address = urlsplit(base)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect((address.hostname, address.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


def descriptors() -> int:
    """Count the open descriptors of this process; it runs the service too."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def is_reset(connection: socket.socket) -> bool:
    """Whether the service has reset the connection."""
    return bool(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) or any(
        event & (select.POLLHUP | select.POLLERR) for _, event in polled(connection)
    )


def polled(connection: socket.socket) -> list[tuple[int, int]]:
    poll = select.poll()
    poll.register(connection, 0)
    return poll.poll(0)


def test_nothing_is_written_after_the_client_disconnected(
    app: FastAPI, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn stops only the last request of a lost connection; here another one runs before it.
    uvloop raises if that one still writes.
    """
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.setLevel("ERROR")
    uvicorn.addHandler(caplog.handler)
    with connected(base) as connection:
        connection.sendall(b"GET /api/v1/much/endless HTTP/1.1\r\nHost: x\r\n\r\n" + HEAD)
        until(lambda: taken > 0 and app.state.bounds.limiter.left == 7)
        time.sleep(0.2)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    at_rest(app)
    uvicorn.removeHandler(caplog.handler)
    assert not [line for line in caplog.records if line.exc_info]


def test_a_client_that_reads_nothing_is_disconnected(base: str) -> None:
    with unread(base, "/api/v1/much/large") as connection:
        until(lambda: is_reset(connection))


def test_a_slow_reader_gets_the_whole_response(base: str) -> None:
    with unread(base, "/api/v1/much/large") as connection:
        size = 0
        while size < 24 * MEBIBYTE:
            size += len(connection.recv(1 << 20))


def test_a_client_that_reads_too_slowly_is_disconnected(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_bounds, "WRITE_TIMEOUT", 1.5)
    with unread(base, "/api/v1/much/large") as connection:

        def drip() -> bool:
            with contextlib.suppress(ConnectionResetError):
                connection.recv(1024)
            time.sleep(0.05)
            return is_reset(connection)

        until(drip)


def test_unread_output_is_bounded(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that has not read for longest is closed; one that reads is kept."""
    monkeypatch.setattr(connection_bounds, "WRITE_STALL", 60.0)
    monkeypatch.setattr(connection_bounds, "MAX_UNSENT", 50 * MEBIBYTE)
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(3):
            connections.append(stack.enter_context(unread(base, "/api/v1/much/large")))
            connections[-1].recv(1024)  # so that they come one after the other
        until(lambda: is_reset(connections[0]))
        assert not any(is_reset(connection) for connection in connections[1:])


def test_a_streaming_response_stops_while_the_client_does_not_read(base: str) -> None:
    """Flow control applies to a plugin's streaming response."""
    with unread(base, "/api/v1/much/endless") as connection:
        until(lambda: is_reset(connection))
    assert 0 < taken * 65_536 < 16 * MEBIBYTE  # what the kernel buffers for a socket


def creation(signer: Signer) -> bytes:
    """A whole request that creates a task."""
    body = b'{"title":"Half closed"}'
    head = (
        f"POST {TASKS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {signer.token('half')}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_a_client_that_closes_its_sending_side_is_answered(base: str, signer: Signer) -> None:
    """In 0.1: it got no answer, and the request was not executed."""
    with connected(base) as connection:
        connection.sendall(creation(signer))
        connection.shutdown(socket.SHUT_WR)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 201 ")


def test_a_complete_request_is_answered_if_the_next_one_is_cut_off(
    base: str, signer: Signer
) -> None:
    """Both in one segment, then the end of the sending side: the first was executed, without an answer."""
    whole = creation(signer)
    with connected(base) as connection:
        connection.sendall(whole + whole[:-5])
        connection.shutdown(socket.SHUT_WR)
        received = rest(connection)
    assert received.startswith(b"HTTP/1.1 201 ")
    assert received.count(b"HTTP/1.1 ") == 1


def test_a_half_closed_connection_does_not_wait_forever(
    base: str, signer: Signer, database: str
) -> None:
    with contextlib.closing(psycopg2.connect(database)) as blocker:
        blocker.cursor().execute("LOCK TABLE tasks_backend.tasks IN ACCESS EXCLUSIVE MODE")
        with connected(base) as connection:
            head = (
                f"GET {TASKS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {signer.token('half')}"
            )
            connection.sendall(f"{head}\r\n\r\n".encode())
            connection.shutdown(socket.SHUT_WR)
            assert rest(connection) == b""


@pytest.mark.parametrize(
    "sent", [b"", b"GET /livez", b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"]
)
def test_half_a_request_then_a_half_close_ends_the_connection(base: str, sent: bytes) -> None:
    with connected(base) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        rest(connection)


def test_silent_connections_make_room_for_others(
    base: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In 0.1: all descriptors were used up, and nothing was logged."""
    monkeypatch.setattr(connection_bounds, "HEAD_TIMEOUT", 60.0)
    monkeypatch.setattr(connection_bounds, "max_connections", lambda: 8)
    with caplog.at_level(logging.WARNING), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(base)) for _ in range(30)]
        assert httpx2.get(f"{base}/livez").json() == {"status": "alive"}
        assert rest(silent[0]) == b""
        until(lambda: "raise its limit" in caplog.text)


def test_idle_connections_make_room_for_others(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has had an answer and is kept alive; before, only the newest connection was reset."""
    monkeypatch.setattr(connection_bounds, "max_connections", lambda: 8)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connected(base)) for _ in range(8)]
        for connection in idle:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert one_answer(connection).startswith(b"HTTP/1.1 200")
        for _ in range(3):
            assert httpx2.get(f"{base}/livez").json() == {"status": "alive"}
        assert rest(idle[0]) == b""


def test_the_maximum_of_connections_follows_from_the_descriptor_limit() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 0 < connection_bounds.max_connections() <= limit - 32


def test_a_burst_of_odd_requests_leaks_nothing(app: FastAPI, signer: Signer) -> None:
    """The numbers of descriptors, tasks and threads are as before (FR-018)."""
    with served(app) as base:
        authorized = f"Authorization: Bearer {signer.token('storm')}\r\n"
        httpx2.get(f"{base}{TASKS}", headers={"Authorization": authorized.strip()[15:]})
        before = descriptors(), threading.active_count()
        for number in range(300):
            with connected(base) as connection, contextlib.suppress(ConnectionError):
                start = (
                    f"GET /api/{'x' * 70_000}",
                    f"POST {TASKS} HTTP/1.1\r\n{authorized}Content-Length: 9\r\n\r\n",
                    f"POST {TASKS} HTTP/1.1\r\n{authorized}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
                    f"GET {TASKS} HTTP/1.1\r\n{authorized}\r\n" * 20,
                    f"GET {TASKS} HTTP/1.1\r\n{authorized}Connection: upgrade\r\nUpgrade: x\r\n\r\n",
                    f"GET {TASKS}?{'a&' * 5_000} HTTP/1.1\r\n{authorized}\r\n",
                )[number % 6]
                connection.sendall(start.encode())
                if number % 2:
                    linger = b"\1\0\0\0\0\0\0\0"
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        at_rest(app)
        until(lambda: descriptors() <= before[0])
        assert threading.active_count() <= before[1]
        response = httpx2.get(f"{base}{TASKS}")
        problem(response, 401, "missing_token")
