"""Another user's task: 404 for reads, 403 for writes."""

import uuid
from typing import Any

import pytest

from tasks_backend.testing.service import User, problem

WHOLE = {"title": "Mine now", "description": None, "completed": True}
WRITES: list[Any] = [
    pytest.param("PATCH", "", {"title": "Mine now"}, id="patch"),
    pytest.param("PATCH", "", {}, id="empty patch"),
    pytest.param("PUT", "", WHOLE, id="put"),
    pytest.param("POST", "/toggle", None, id="toggle"),
    pytest.param("DELETE", "", None, id="delete"),
]
EXTRA: list[Any] = [
    pytest.param({}, id="plain"),
    pytest.param({"If-Match": '"1"'}, id="right version"),
    pytest.param({"If-Match": '"9"'}, id="wrong version"),
    pytest.param({"If-Match": "*"}, id="any version"),
    pytest.param({"Idempotency-Key": "k-1"}, id="key"),
    pytest.param({"Idempotency-Key": "é"}, id="malformed key"),
]


@pytest.mark.proves("US2-AC3", "EDGE-1", "SC-003", "FR-010")
def test_reading_another_users_task_looks_like_reading_a_missing_one(
    alice: User, bob: User
) -> None:
    theirs, nobodys = bob.create()["id"], str(uuid.uuid4())
    answers = []
    for task_id in (theirs, nobodys):
        response = alice.client.get(f"/api/v1/tasks/{task_id}", headers={"X-Request-Id": "same"})
        problem(response, 404, "task_not_found")
        headers = {k: v for k, v in response.headers.items() if k != "date"}
        answers.append((headers, response.content.replace(task_id.encode(), b"ID")))
    assert answers[0] == answers[1]


@pytest.mark.proves("US3-AC3", "US4-AC2", "EDGE-1", "SC-003", "FR-010")
@pytest.mark.parametrize("headers", EXTRA)
@pytest.mark.parametrize(("method", "suffix", "body"), WRITES)
def test_changing_another_users_task_is_forbidden_and_changes_nothing(
    alice: User, bob: User, method: str, suffix: str, body: Any, headers: dict[str, str]
) -> None:
    task = bob.create(title="Bob's own")
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    response = alice.client.request(
        method, f"/api/v1/tasks/{task['id']}{suffix}", json=body, headers=raw
    )
    answer = problem(response, 403, "task_forbidden")
    assert "Bob's own" not in response.text
    assert bob.sub not in response.text
    assert answer["errors"] == []
    assert bob.read(task["id"]) == task


@pytest.mark.proves("SC-003")
@pytest.mark.parametrize("headers", EXTRA)
@pytest.mark.parametrize(("method", "suffix", "body"), WRITES)
def test_changing_a_missing_task_is_not_found(
    alice: User, method: str, suffix: str, body: Any, headers: dict[str, str]
) -> None:
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    response = alice.client.request(
        method, f"/api/v1/tasks/{uuid.uuid4()}{suffix}", json=body, headers=raw
    )
    problem(response, 404, "task_not_found")


@pytest.mark.proves("FR-010")
@pytest.mark.parametrize("field", ["user_id", "id", "owner_id", "version", "created_at"])
def test_a_body_cannot_set_the_owner_or_server_fields(alice: User, bob: User, field: str) -> None:
    task = alice.create()
    whole = {"title": "x", "description": None, "completed": False, field: bob.sub}
    for method, path in (
        ("POST", "/api/v1/tasks"),
        ("PUT", f"/api/v1/tasks/{task['id']}"),
        ("PATCH", f"/api/v1/tasks/{task['id']}"),
    ):
        body = problem(alice.client.request(method, path, json=whole), 422, "validation_error")
        assert body["errors"][0]["code"] == "extra_forbidden"
    assert alice.read(task["id"]) == task
    assert bob.client.get("/api/v1/tasks").json()["items"] == []
