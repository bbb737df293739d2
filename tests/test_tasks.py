"""The life of a task over HTTP: every successful row of the contract."""

import uuid
from datetime import datetime

import pytest
from support.service import User, problem

TASKS = "/api/v1/tasks"


@pytest.mark.proves("US1-AC1", "FR-001", "FR-003", "FR-007")
def test_a_created_task_is_answered_whole_and_can_be_found_again(alice: User) -> None:
    response = alice.client.post(
        TASKS, json={"title": "  Buy milk ", "description": "Two litres\n\tcold"}
    )
    assert response.status_code == 201
    task = response.json()
    assert list(task) == [
        *("id", "user_id", "title", "description", "completed", "created_at", "updated_at")
    ]
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
    assert found.json() == task
    assert found.headers["etag"] == '"1"'


@pytest.mark.proves("FR-003")
def test_a_title_is_enough(alice: User) -> None:
    task = alice.create(title="x" * 200)
    assert (task["description"], task["completed"]) == (None, False)
