"""What a plugin's code does by accident harms no other request, and no check of its own."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import closing
from typing import Any

import httpx2
import psycopg2
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from sqlalchemy import text
from starlette.background import BackgroundTask

from tasks_backend import OwnRows, Plugin, Settings, create_app, statement
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"
ODD = "/api/v1/odd"
BEGIN = statement(text("BEGIN"), idempotent=True)
READ_ONLY = statement(text("START TRANSACTION READ ONLY"), idempotent=True)
BROKEN = statement(text("BEGIN"), text("SELECT 1 / (random() * 0)::int"), idempotent=True)
SLOW = statement(text("SELECT pg_sleep(1.5)"), idempotent=True)

released = threading.Event()
finished: list[str] = []


class Guarded(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        original = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            if "x-admin" not in request.headers:
                raise HTTPException(418)
            return await original(request)

        return guarded


router = APIRouter()
guarded = APIRouter(route_class=Guarded)


@guarded.get("/guarded")
async def secret() -> Response:
    return Response("secret")


async def without_a_pause() -> AsyncIterator[bytes]:
    end = time.monotonic() + 20
    while not released.is_set() and time.monotonic() < end:
        yield b"x"
    finished.append("stream")


@router.get("/stream/{status}")
async def stream(status: int) -> StreamingResponse:
    return StreamingResponse(without_a_pause(), status)


@router.post("/begin/{how}")
async def begin(how: str, own: OwnRows) -> Response:
    await own.run({"plain": BEGIN, "read only": READ_ONLY, "broken": BROKEN}[how])
    return Response()


async def fail_later() -> None:
    await asyncio.sleep(0.2)
    raise RuntimeError("no mail today")


@router.get("/background/failing")
async def failing() -> Response:
    return Response("first", background=BackgroundTask(fail_later))


@router.get("/background/slow")
async def slow(own: OwnRows) -> Response:
    async def work() -> None:
        await own.run(SLOW)
        finished.append("slow")

    return Response("first", background=BackgroundTask(work))


async def cancelled() -> None:
    raise asyncio.CancelledError


async def awaiting() -> None:
    task = asyncio.create_task(asyncio.sleep(1))
    task.cancel()
    await task


async def group() -> None:
    raise BaseExceptionGroup("several", [asyncio.CancelledError(), ValueError()])


RAISING = {"cancelled": cancelled, "awaiting": awaiting, "group": group}


@router.get("/raise/{how}")
async def raising(how: str) -> Response:
    await RAISING[how]()
    return Response()


class Silent(Response):
    async def __call__(self, *_: object) -> None:
        """Send nothing."""


UNSENDABLE = {
    "status 600": HTTPException(600, "more"),
    "status 0": HTTPException(0, "none"),
    "status 101": HTTPException(101, "other"),
    "a line feed": HTTPException(400, headers={"X-Why": "a\r\nSet-Cookie: b=c"}),
    "a space in a name": HTTPException(400, headers={"X Why": "a"}),
    "no name": HTTPException(400, headers={"": "a"}),
    "no Latin letter": HTTPException(400, headers={"X-Why": "\u2026"}),
}


@router.get("/unsendable/{which}")
async def unsendable(which: str) -> Response:
    raise UNSENDABLE[which]


@router.get("/silent")
async def silent() -> Response:
    return Silent()


@router.get("/number/{number:int}")
async def number(number: int) -> Response:
    return Response(str(number))


router.include_router(guarded)


@pytest.fixture(scope="module")
def base(settings: Settings) -> Iterator[str]:
    few = settings.model_copy(update={"pool_size": 1})
    app: FastAPI = create_app(few, plugins=[Plugin(name="odd", routers={"v1": router})])
    with served(app) as url:
        yield url


@pytest.fixture
def client(base: str, signer: Signer) -> Iterator[httpx2.Client]:
    authorization = {"Authorization": f"Bearer {signer.token('odd')}"}
    with httpx2.Client(base_url=base, headers=authorization, timeout=30) as client:
        yield client


def test_a_route_class_with_a_check_is_called(client: httpx2.Client) -> None:
    assert client.get(f"{ODD}/guarded").status_code == 418
    assert client.get(f"{ODD}/guarded", headers={"X-Admin": "1"}).text == "secret"


@pytest.mark.proves("FR-018")
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 404)])
def test_a_stream_that_is_not_sent_does_not_block_others(
    client: httpx2.Client, base: str, method: str, status: int
) -> None:
    released.clear()
    finished.clear()
    asking = threading.Thread(target=client.request, args=(method, f"{ODD}/stream/{status}"))
    asking.start()
    try:
        time.sleep(0.2)
        assert httpx2.get(f"{base}/livez", timeout=10).status_code == 200
        assert finished == []
    finally:
        released.set()
        asking.join()


@pytest.mark.proves("SC-001")
@pytest.mark.parametrize("how", ["plain", "read only", "broken"])
def test_a_transaction_that_a_plugin_leaves_open_swallows_no_write(
    client: httpx2.Client, base: str, signer: Signer, database: str, how: str
) -> None:
    problem(client.post(f"{ODD}/begin/{how}"), 500, "internal_error")
    token = signer.token(f"after {how}")
    made = httpx2.post(
        f"{base}{TASKS}", json={"title": "x"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert made.status_code == 201, made.text
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.user_id', %s, false)", (f"after {how}",))
        cursor.execute("SELECT id FROM tasks_backend.tasks WHERE user_id = %s", (f"after {how}",))
        assert cursor.fetchall() == [(made.json()["id"],)]


def test_a_failed_background_task_does_not_end_the_next_request(
    client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "tasks_backend"):
        assert client.get(f"{ODD}/background/failing").text == "first"
        for _ in range(3):
            assert client.get(TASKS).status_code == 200
            time.sleep(0.1)
    assert "no mail today" in caplog.text


def test_a_background_task_may_use_the_database_after_the_response(client: httpx2.Client) -> None:
    finished.clear()
    assert client.get(f"{ODD}/background/slow").text == "first"
    assert client.get(TASKS).status_code == 200
    assert finished == ["slow"]


@pytest.mark.parametrize("how", RAISING)
def test_a_cancellation_of_the_routes_own_is_a_500(client: httpx2.Client, how: str) -> None:
    body = problem(client.get(f"{ODD}/raise/{how}"), 500, "internal_error")
    assert body["request_id"]


@pytest.mark.proves("FR-011")
@pytest.mark.parametrize("which", UNSENDABLE)
def test_an_exception_that_cannot_be_sent_is_a_500(client: httpx2.Client, which: str) -> None:
    problem(client.get(f"{ODD}/unsendable/{which}"), 500, "internal_error")


def test_a_route_that_sends_nothing_is_a_500(client: httpx2.Client) -> None:
    problem(client.get(f"{ODD}/silent"), 500, "internal_error")


def test_a_number_that_python_does_not_read_is_no_such_path(client: httpx2.Client) -> None:
    assert client.get(f"{ODD}/number/12").text == "12"
    problem(client.get(f"{ODD}/number/{'9' * 5_000}"), 404, "not_found")
