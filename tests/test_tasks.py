"""A task over HTTP: every success case of the contract."""

import uuid
from datetime import datetime

import pytest

from tasks_backend.testing.service import User, problem

TASKS = "/api/v1/tasks"
FIELDS = ["id", "user_id", "title", "description", "completed", "created_at", "updated_at"]


@pytest.mark.proves("US1-AC1", "FR-001", "FR-003", "FR-007", "SC-004")
def test_a_created_task_is_returned_and_can_be_read(alice: User) -> None:
    response = alice.client.post(
        TASKS, json={"title": "  Buy milk ", "description": "Two litres\n\tcold"}
    )
    assert response.status_code == 201
    task = response.json()
    assert list(task) == FIELDS
    assert uuid.UUID(task["id"]).version == 7
    assert task["user_id"] == alice.sub
    assert (task["title"], task["description"]) == ("Buy milk", "Two litres\n\tcold")
    assert task["completed"] is False
    assert task["created_at"] == task["updated_at"]
    assert task["created_at"].endswith("Z")
    assert datetime.fromisoformat(task["created_at"]).utcoffset() is not None
    assert response.headers["location"] == f"{TASKS}/{task['id']}"
    assert response.headers["etag"] == '"1"'
    found = alice.client.get(response.headers["location"])
    assert (found.status_code, found.json()) == (200, task)
    assert found.headers["etag"] == '"1"'


@pytest.mark.proves("FR-003")
def test_only_a_title_is_required(alice: User) -> None:
    task = alice.create(title="x" * 200)
    assert (task["description"], task["completed"]) == (None, False)


def test_a_task_may_be_created_completed(alice: User) -> None:
    assert alice.create(completed=True)["completed"] is True


@pytest.mark.proves("US2-AC2", "FR-004")
def test_an_own_task_can_be_read(alice: User) -> None:
    task = alice.create()
    assert alice.read(task["id"]) == task


@pytest.mark.proves("US3-AC1", "FR-005")
@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
def test_a_patch_changes_only_the_given_fields(alice: User, media_type: str) -> None:
    task = alice.create(description="Two litres")
    response = alice.client.patch(
        f"{TASKS}/{task['id']}",
        content=b'{"completed": true}',
        headers={"Content-Type": media_type},
    )
    assert response.status_code == 200
    changed = response.json()
    assert changed == {**task, "completed": True, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > task["updated_at"]
    assert response.headers["etag"] == '"2"'
    assert alice.read(task["id"]) == changed


@pytest.mark.proves("FR-005")
def test_null_clears_a_description_and_absence_does_not(alice: User) -> None:
    task = alice.create(description="Two litres")
    path = f"{TASKS}/{task['id']}"
    assert alice.client.patch(path, json={"title": "Milk"}).json()["description"] == "Two litres"
    assert alice.client.patch(path, json={"description": None}).json()["description"] is None


@pytest.mark.proves("FR-002")
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("one\r\ntwo", "one\ntwo"),
        ("one\rtwo", "one\ntwo"),
        ("\r\n\r\r\n\n", "\n\n\n\n"),
        ("\r\n" * 10_000, "\n" * 10_000),
    ],
)
def test_a_line_break_is_stored_as_a_newline(
    alice: User, method: str, sent: str, stored: str
) -> None:
    path = TASKS if method == "POST" else f"{TASKS}/{alice.create()['id']}"
    body = {"title": "x", "description": sent, "completed": False}
    answer = alice.client.request(method, path, json=body)
    assert answer.status_code in {200, 201}, answer.text
    assert answer.json()["description"] == alice.read(answer.json()["id"])["description"] == stored


@pytest.mark.parametrize("field", ["title", "completed"])
def test_null_is_refused_for_a_required_field(alice: User, field: str) -> None:
    task = alice.create()
    response = alice.client.patch(f"{TASKS}/{task['id']}", json={field: None})
    assert problem(response, 422, "validation_error")["errors"][0]["field"] == field


def test_an_empty_patch_changes_nothing(alice: User) -> None:
    task = alice.create()
    response = alice.client.patch(f"{TASKS}/{task['id']}", json={})
    assert (response.status_code, response.json()) == (200, task)
    assert response.headers["etag"] == '"1"'


@pytest.mark.proves("US3-AC1", "FR-005")
def test_put_replaces_all_fields_of_the_client(alice: User) -> None:
    task = alice.create(description="Two litres")
    whole = {"title": "Bread", "description": None, "completed": True}
    response = alice.client.put(f"{TASKS}/{task['id']}", json=whole)
    assert response.status_code == 200
    assert {name: response.json()[name] for name in whole} == whole
    assert response.headers["etag"] == '"2"'
    assert alice.read(task["id"]) == response.json()


@pytest.mark.parametrize("missing", ["title", "description", "completed"])
def test_put_with_a_missing_field_is_refused(alice: User, missing: str) -> None:
    task = alice.create(description="Two litres")
    whole = {"title": "Bread", "description": None, "completed": True}
    del whole[missing]
    response = alice.client.put(f"{TASKS}/{task['id']}", json=whole)
    assert problem(response, 422, "validation_error")["errors"] == [
        {"field": missing, "location": "body", "code": "missing", "message": "is required"}
    ]
    assert alice.read(task["id"]) == task


def test_put_never_creates(alice: User) -> None:
    whole = {"title": "Bread", "description": None, "completed": True}
    problem(alice.client.put(f"{TASKS}/{uuid.uuid4()}", json=whole), 404, "task_not_found")


@pytest.mark.proves("US3-AC2", "FR-005")
def test_two_toggles_restore_the_state(alice: User) -> None:
    task = alice.create()
    for version, completed in ((2, True), (3, False)):
        response = alice.client.post(f"{TASKS}/{task['id']}/toggle")
        assert (response.status_code, response.json()["completed"]) == (200, completed)
        assert response.headers["etag"] == f'"{version}"'
        assert alice.read(task["id"]) == response.json()


@pytest.mark.proves("US4-AC1", "FR-006")
def test_a_deleted_task_is_gone(alice: User) -> None:
    task = alice.create()
    path = f"{TASKS}/{task['id']}"
    response = alice.client.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    problem(alice.client.delete(path), 404, "task_not_found")
    problem(alice.client.get(path), 404, "task_not_found")
    assert alice.client.get(TASKS).json()["items"] == []


@pytest.mark.proves("SC-008")
def test_an_invalid_id_is_a_422_that_names_it(alice: User) -> None:
    for method, suffix in (("GET", ""), ("DELETE", ""), ("POST", "/toggle")):
        response = alice.client.request(method, f"{TASKS}/7{suffix}")
        assert problem(response, 422, "validation_error")["errors"] == [
            {
                "field": "task_id",
                "location": "path",
                "code": "uuid_parsing",
                "message": "must be a UUID",
            }
        ]
