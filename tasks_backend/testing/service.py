"""The service on uvicorn at a loopback port, in a thread so that coverage includes it."""

import contextlib
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from tasks_backend.serving.server import HTTP
from tasks_backend.testing.signing import Signer
from tasks_backend.testing.waiting import until


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
        """Return a task of this user."""
        response = self.client.get(f"/api/v1/tasks/{task_id}")
        assert response.status_code == 200, response.text
        task: dict[str, Any] = response.json()
        return task


NewUser = Callable[[], User]


@contextlib.contextmanager
def users(url: str, signer: Signer) -> Iterator[NewUser]:
    """Yield a function that makes new users of the application at this URL."""
    with contextlib.ExitStack() as clients:

        def make() -> User:
            sub = secrets.token_hex(16)
            headers = {"Authorization": f"Bearer {signer.token(sub)}"}
            client = httpx2.Client(base_url=url, headers=headers, timeout=30)
            return User(sub, clients.enter_context(client))

        yield make


@contextlib.contextmanager
def served(app: FastAPI, **options: Any) -> Iterator[str]:
    """Serve an application and yield its base URL. `options` are uvicorn's."""
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


MEMBERS = ["type", "title", "status", "detail", "instance", "code", "request_id", "errors"]


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Return the body of a failure after a check of the problem format (docs/errors.md)."""
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json", response.headers
    assert response.headers["cache-control"] == "no-store", response.headers
    assert response.headers["x-content-type-options"] == "nosniff", response.headers
    body: dict[str, Any] = response.json()
    assert list(body) == MEMBERS, body
    assert body["type"] == f"/problems/{code.replace('_', '-')}", body
    assert body["status"] == status, body
    assert body["request_id"] == response.headers["x-request-id"], body
    assert isinstance(body["errors"], list), body
    for entry in body["errors"]:
        assert sorted(entry) == ["code", "field", "location", "message"], body
    if status in {503, 504}:
        assert int(response.headers["retry-after"]) >= 1, response.headers
    if status == 401:
        challenge = response.headers["www-authenticate"]
        assert challenge.startswith('Bearer realm="tasks_backend"'), challenge
        assert ("error=" in challenge) == (code != "missing_token"), challenge
    return body
