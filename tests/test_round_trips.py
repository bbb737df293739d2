"""One request, one message: counted on the wire between the service and PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from support.proxy import PostgresProxy

from tasks_backend import Settings, create_app
from tasks_backend.testing.service import User, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"
WHOLE = {"title": "Bread", "description": None, "completed": True}


@pytest.fixture(scope="module")
def proxy(database: str) -> Iterator[PostgresProxy]:
    with PostgresProxy(database) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def user(proxy: PostgresProxy, settings: Settings, signer: Signer) -> Iterator[User]:
    through_proxy = settings.model_copy(update={"database_url": proxy.url})
    headers = {"Authorization": f"Bearer {signer.token('round-trips')}"}
    with (
        served(create_app(through_proxy)) as url,
        httpx2.Client(base_url=url, headers=headers) as client,
    ):
        yield User("round-trips", client)


@pytest.mark.proves("SC-006")
@pytest.mark.parametrize(
    ("method", "suffix", "options", "status"),
    [
        ("POST", None, {"json": {"title": "x"}}, 201),
        ("POST", None, {"json": {"title": "x"}, "headers": {"Idempotency-Key": "k"}}, 201),
        ("GET", None, {}, 200),
        ("GET", None, {"params": {"limit": 1, "completed": "false"}}, 200),
        ("GET", None, {"params": {"q": "x", "count": "true", "limit": 1}}, 200),
        ("HEAD", None, {}, 200),
        ("HEAD", "", {}, 200),
        ("PATCH", None, {"params": {"completed": "false"}, "json": {"completed": True}}, 200),
        ("DELETE", None, {"params": {"completed": "true", "q": "x"}}, 200),
        (
            "DELETE",
            None,
            {"params": {"completed": "true"}, "headers": {"Idempotency-Key": "d"}},
            200,
        ),
        ("GET", "", {}, 200),
        ("PATCH", "", {"json": {"title": "y"}}, 200),
        ("PATCH", "", {"json": {}}, 200),
        ("PATCH", "", {"json": {"title": "y"}, "headers": {"If-Match": '"1"'}}, 200),
        ("PUT", "", {"json": WHOLE}, 200),
        ("POST", "/toggle", {}, 200),
        ("POST", "/toggle", {"headers": {"Idempotency-Key": "t"}}, 200),
        ("DELETE", "", {}, 204),
    ],
)
def test_a_successful_operation_is_one_message(
    user: User, proxy: PostgresProxy, method: str, suffix: str | None, options: Any, status: int
) -> None:
    task = user.create()
    path = TASKS if suffix is None else f"{TASKS}/{task['id']}{suffix}"
    proxy.messages.clear()
    assert user.client.request(method, path, **options).status_code == status
    assert proxy.messages == {"Q": 1}


def test_a_replay_is_one_message(user: User, proxy: PostgresProxy) -> None:
    task = user.create()
    for path, body in ((TASKS, {"title": "x"}), (f"{TASKS}/{task['id']}/toggle", None)):
        headers = {"Idempotency-Key": f"again {path}".replace(" ", "-")}
        for _ in range(2):
            proxy.messages.clear()
            response = user.client.post(path, json=body, headers=headers)
            assert proxy.messages == {"Q": 1}
        assert response.headers["idempotency-replayed"] == "true"


def test_a_refusal_needs_at_most_one_more_message(user: User, proxy: PostgresProxy) -> None:
    task = user.create()
    for options, asked in (
        ({"json": {"title": "y"}, "headers": {"If-Match": '"9"'}}, 2),
        ({"json": {"title": ""}}, 1),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 1),
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 0),
    ):
        proxy.messages.clear()
        assert user.client.patch(f"{TASKS}/{task['id']}", **options).status_code >= 400
        assert proxy.messages.total() == asked
