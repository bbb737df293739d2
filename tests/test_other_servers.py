"""What other servers and gateways give the application. The session `servers` runs real ones."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI

from tasks_backend import Settings, create_app
from tasks_backend.testing.signing import Signer

pytestmark = pytest.mark.anyio

TASK = b'{"title": "no length"}'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Exchange:
    """One POST of a task, with the messages of a server that announces no length."""

    def __init__(self, http_version: str, token: str) -> None:
        headers = [(b"content-type", b"application/json")]
        headers += [(b"authorization", f"Bearer {token}".encode())] if token else []
        path = "/api/v1/tasks"
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": http_version,
            "method": "POST",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
        }
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[Any] = []
        self.changed = asyncio.Event()

    def send_body(self, body: bytes, *, more: bool) -> None:
        self.incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    @asynccontextmanager
    async def served_by(self, app: FastAPI) -> AsyncIterator[None]:
        """Serve it in the background until the block ends, and then to its end."""

        async def send(message: Any) -> None:
            self.sent.append(message)
            self.changed.set()

        task = asyncio.create_task(app(self.scope, self.incoming.get, send))
        async with asyncio.timeout(20):
            yield
            await task

    @property
    def is_over(self) -> bool:
        last = self.sent[-1]
        return last["type"] == "http.response.body" and not last.get("more_body", False)


@pytest.mark.proves("FR-003")
@pytest.mark.parametrize("http_version", ["2", "3", "1.1"])
async def test_a_body_without_a_length_is_read(
    settings: Settings, signer: Signer, http_version: str
) -> None:
    """HTTP/2 needs no length, and a gateway's event (mangum, "1.1") may have none."""
    app = create_app(settings)
    exchange = Exchange(http_version, signer.token("no length"))
    async with exchange.served_by(app):
        exchange.send_body(TASK[:5], more=True)
        exchange.send_body(TASK[5:], more=False)
    app.state.database.close()
    assert exchange.sent[0]["status"] == 201
    assert json.loads(exchange.sent[1]["body"])["title"] == "no length"


@pytest.mark.proves("FR-018")
async def test_a_stream_of_http_2_is_not_ended_before_its_request(settings: Settings) -> None:
    """Finding H9: hypercorn ends the whole connection if the rest of a request follows its answer."""
    exchange = Exchange("2", "")
    async with exchange.served_by(create_app(settings)):
        exchange.send_body(TASK[:5], more=True)
        while len(exchange.sent) < 2:
            exchange.changed.clear()
            await exchange.changed.wait()
        assert exchange.sent[0]["status"] == 401
        assert b"connection" not in dict(exchange.sent[0]["headers"])
        assert not exchange.is_over, "the answer was ended while the request was not"
        exchange.send_body(TASK[5:], more=False)
    assert exchange.is_over
