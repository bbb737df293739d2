"""The service on uvicorn at a loopback port, in a thread so that coverage includes it."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx2
import uvicorn
from fastapi import FastAPI

from support.answers import first_answer
from support.waiting import until
from tasks_backend.serving.server import HTTP


@dataclass
class User:
    """A user with a token, and an HTTP client that sends it."""

    sub: str
    client: httpx2.Client

    def create(self, **fields: Any) -> dict[str, Any]:
        """Create a task of this user over HTTP."""
        response = self.client.post("/api/v1/tasks", json={"title": "Buy milk", **fields})
        assert response.status_code == 201, response.text
        task: dict[str, Any] = response.json()
        return task

    def read(self, task_id: str) -> dict[str, Any]:
        response = self.client.get(f"/api/v1/tasks/{task_id}")
        assert response.status_code == 200, response.text
        task: dict[str, Any] = response.json()
        return task


@contextlib.contextmanager
def served(app: FastAPI, **options: Any) -> Iterator[str]:
    """Serve an application and yield its base URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        config = uvicorn.Config(app, **HTTP, log_level="critical", **options)
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until(lambda: server.started or not thread.is_alive(), "the service to start")
        assert server.started, "the service did not start"
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive(), "the service did not stop"


def at_rest(app: FastAPI) -> None:
    """Return once an application holds no places, connections or queued requests any more."""

    def held() -> dict[str, int]:
        limiter, pool = app.state.bounds.limiter, app.state.database.pool
        return {
            "places": limiter.limit - limiter.left,
            "senders": limiter.senders,
            "bodies": app.state.bounds.bodies.waiting,
            "turns": pool.semaphore.held,
            "waiting for a turn": pool.semaphore.waiting,
            "waiting for a key": app.state.key_set.waiting,
        }

    until(lambda: not any(held().values()))


@contextlib.contextmanager
def overloaded(app: FastAPI) -> Iterator[None]:
    """In the block, no place is free."""
    limiter = app.state.bounds.limiter
    limiter.left, left = 0, limiter.left
    try:
        yield
    finally:
        limiter.left = left


def connected(url: str) -> socket.socket:
    """A TCP connection to a service, for bytes that no HTTP client sends."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=20)


def one_answer(connection: socket.socket) -> bytes:
    """Read one response with its body, which may come in segments of its own."""
    received = b""
    while first_answer(received) is None:
        data = connection.recv(65536)
        assert data, f"the connection ended: {received!r}"
        received += data
    return received


def rest(connection: socket.socket) -> bytes:
    """Read everything until the service closes the connection."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(1 << 20):
            received += data
    return bytes(received)


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Return the body of a failure after a check of the problem format (FR-011)."""
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    body: dict[str, Any] = response.json()
    assert list(body) == [
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
        "request_id",
        "errors",
    ]
    assert body["type"] == f"/problems/{code.replace('_', '-')}"
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert isinstance(body["errors"], list)
    for entry in body["errors"]:
        assert sorted(entry) == ["code", "field", "location", "message"]
    if status in {503, 504}:
        assert int(response.headers["retry-after"]) >= 1
    if status == 401:
        challenge = 'Bearer realm="tasks_backend"'
        assert response.headers["www-authenticate"].startswith(challenge)
        assert ("error=" in response.headers["www-authenticate"]) == (code != "missing_token")
    if status == 503:
        assert int(response.headers["retry-after"]) >= 1
    return body
