"""Checks before a server is measured: the same operations, with the same JSON."""

from typing import Any

import httpx2

FIELDS = {"id", "user_id", "title", "description", "completed", "created_at", "updated_at"}


def check(base: str, person: str, token: str, other_token: str, *, problems: bool) -> int:
    """Do each operation once, and check refusals: no token, a bad one, another user's task.

    With `problems`, refusals must be problem documents. Returns the number of requests.
    """
    answers: list[httpx2.Response] = []
    with httpx2.Client(
        base_url=f"{base}/api/v1",
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
        event_hooks={"response": [answers.append]},
    ) as client:
        made = _task(client.post("/tasks", json={"title": "Same"}), 201)
        assert (made["title"], made["description"], made["completed"]) == ("Same", None, False)
        assert made["user_id"] == person
        path = f"/tasks/{made['id']}"
        assert _task(client.get(path)) == made
        changed = _task(client.patch(path, json={"description": "Other"}))
        assert (changed["title"], changed["description"]) == ("Same", "Other")
        assert changed["updated_at"] > made["updated_at"]
        assert _task(client.post(f"{path}/toggle"))["completed"] is True
        page = client.get("/tasks", params={"limit": 50}).json()
        assert len(page["items"]) == 50
        assert page["items"][0]["id"] == made["id"]
        assert page["next_cursor"]
        for item in page["items"]:
            assert set(item) == FIELDS
        following = client.get("/tasks", params={"limit": 50, "cursor": page["next_cursor"]})
        assert following.json()["items"][0]["id"] < page["items"][-1]["id"]
        forged = token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)
        for refused in ({"Authorization": f"Bearer {forged}"}, {"Authorization": ""}):
            assert client.get(path, headers=refused).status_code in {401, 403}
        others = {"Authorization": f"Bearer {other_token}"}
        assert client.get(path, headers=others).status_code == 404
        assert client.delete(path).status_code == 204
        assert client.get(path).status_code == 404
    if problems:
        refusals = [answer for answer in answers if answer.status_code >= 400]
        types = {answer.headers["content-type"].split(";")[0] for answer in refusals}
        assert types == {"application/problem+json"}
    return len(answers)


def _task(answer: httpx2.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    task: dict[str, Any] = answer.json()
    assert set(task) == FIELDS
    return task
