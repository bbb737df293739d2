"""Requests behind one another on a connection: order, yielding, and what waits unparsed (FR-018, EDGE-9)."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from threading import Thread

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import Response, StreamingResponse
from support.service import at_rest, connected, overloaded

from tasks_backend import Plugin, Settings, create_app
from tasks_backend.http.limiter import credential_sender, user_sender
from tasks_backend.serving.http_protocol import Protocol
from tasks_backend.testing.service import served
from tasks_backend.testing.signing import Signer

pytestmark = pytest.mark.proves("FR-018", "EDGE-9")

executed: list[str] = []
operations, public = APIRouter(), APIRouter()


@operations.get("/stream")
async def stream() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x"
            await asyncio.sleep(0.1)

    return StreamingResponse(pieces())


@operations.post("/effect")
async def effect() -> Response:
    executed.append("effect")
    return Response(b"done")


@public.get("/open")
async def open_to_all() -> Response:
    return Response(b"open")


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    executed.clear()
    routers = {"v1": public}
    plugin = Plugin(name="pipelined", routers=routers, operations=operations, public=True)
    return create_app(settings, plugins=[plugin])


@pytest.fixture
def base(app: FastAPI) -> Iterator[str]:
    with served(app, timeout_keep_alive=1) as url:
        yield url
        at_rest(app)


@pytest.fixture
def refused(signer: Signer) -> bytes:
    """A request that is refused under overload."""
    token = signer.token("somebody")
    return (
        f"GET /api/v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )


def everything(connection: socket.socket, timeout: float = 5.0) -> bytes:
    """All that comes until the connection ends, or nothing comes for some seconds."""
    connection.settimeout(timeout)
    received = b""
    with contextlib.suppress(OSError):
        while part := connection.recv(1 << 18):
            received += part
    return received


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", received)]


BATCHES = {
    "tiny requests behind a body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    + 56 * b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "requests that read bodies": b"POST /effect HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_what_waits_unparsed_is_bounded(
    base: str, batch: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn resumes reading for each body and after each answer; 68 MB waited in 10 s."""
    most, original = [0], Protocol.data_received

    def watched(self: Protocol, data: bytes) -> None:
        original(self, data)
        most[0] = max(most[0], len(self._unparsed))

    monkeypatch.setattr(Protocol, "data_received", watched)
    with connected(base) as connection:
        reader = Thread(target=everything, args=(connection,))
        reader.start()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                connection.send(batch * 300)
        connection.shutdown(socket.SHUT_RDWR)
        reader.join(20)
    assert 0 < most[0] < 1024 * 1024


def test_refusals_of_a_client_that_reads_yield(
    app: FastAPI, base: str, refused: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,674 refusals in one turn of the event loop delayed every other client by 2.8 s."""
    limiter = app.state.bounds.limiter
    most, original = [0], Protocol.data_received

    def watched(self: Protocol, data: bytes) -> None:
        before = limiter.refused
        original(self, data)
        most[0] = max(most[0], limiter.refused - before)

    monkeypatch.setattr(Protocol, "data_received", watched)
    with overloaded(app), connected(base) as connection:
        reader = Thread(target=everything, args=(connection, 1.0))
        reader.start()
        connection.sendall(refused * 300)
        connection.shutdown(socket.SHUT_WR)
        reader.join(60)
    assert limiter.refused == 300
    assert most[0] <= 1


@pytest.mark.parametrize("apart", [False, True], ids=["one segment", "two segments"])
def test_a_refusal_does_not_end_the_next_answer(
    app: FastAPI, base: str, refused: bytes, apart: bool
) -> None:
    """The refusal armed the keep-alive timer, which is 1 s here; the stream takes 2 s."""
    following = b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"
    with overloaded(app), connected(base) as connection:
        connection.sendall(refused + (b"" if apart else following))
        if apart:
            time.sleep(0.2)
            connection.sendall(following)
        received = everything(connection)
    assert statuses(received) == [503, 200]
    assert received.endswith(b"0\r\n\r\n")


def test_nothing_is_executed_after_an_answer_that_closes(app: FastAPI, base: str) -> None:
    with overloaded(app), connected(base) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"GET /api/v1/tasks HTTP/1.0\r\nConnection: keep-alive\r\n\r")
        time.sleep(0.1)
        connection.sendall(b"\nPOST /effect HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        received = everything(connection, 2)
    assert len(statuses(received)) == 1
    assert b"connection: close" in received
    assert not executed


def test_a_running_request_is_answered_before_a_400(base: str) -> None:
    """A 400 in its place would say that it had no effect."""
    with connected(base) as connection:
        connection.sendall(
            b"POST /effect HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
            b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"
        )
        received = everything(connection, 2)
    assert executed == ["effect"]
    assert statuses(received) == [200]
    assert b"connection: close" in received
    assert received.endswith(b"done")


def test_a_public_route_and_an_unverified_credential_are_senders_of_their_own(
    app: FastAPI, base: str, signer: Signer
) -> None:
    """A user who holds half of the places is refused; nobody else is, whatever they send."""
    limiter, token = app.state.bounds.limiter, signer.token("flood")
    senders = credential_sender(token), user_sender("flood")
    with contextlib.ExitStack() as stack:
        for _ in range(limiter.limit // 2):
            stack.enter_context(limiter.acquire(*senders))
        answers = [
            httpx2.get(f"{base}{path}", headers={"Authorization": f"Bearer {sent}"}).status_code
            for path, sent in (
                ("/api/v1/tasks", token),
                ("/api/v1/pipelined/open", token),
                ("/api/v1/tasks", "flood"),
                ("/api/v1/nothing", token),
            )
        ]
    assert answers == [503, 200, 401, 404]
