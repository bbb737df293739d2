"""A task's whole life, and the usual failures."""

import httpx2

from tasks_backend.testing.service import problem

TASKS = "/api/v1/tasks"
JSON = {"Content-Type": "application/json"}


def live(client: httpx2.Client, stranger: httpx2.Client, prefix: str = "") -> None:
    """Create, list, change and delete a task; the clients' paths begin below the prefix."""
    created = client.post(TASKS, json={"title": "Buy milk \N{HOT BEVERAGE}"})
    assert created.status_code == 201, created.text
    assert created.headers["location"] == f"{prefix}{TASKS}/{created.json()['id']}"
    path = created.headers["location"].removeprefix(prefix)
    assert client.get(path).json() == created.json()
    listed = client.get(TASKS, params={"q": "milk \N{HOT BEVERAGE}", "count": "true"}).json()
    assert (listed["items"], listed["total"]) == ([created.json()], 1)
    match = {"If-Match": created.headers["etag"]}
    changed = client.patch(path, json={"completed": True}, headers=match)
    assert (changed.status_code, changed.json()["completed"]) == (200, True)
    problem(client.patch(path, json={"title": "x"}, headers=match), 412, "version_mismatch")
    streamed = client.post(TASKS, content=iter([b'{"title"', b': "x"}']), headers=JSON)
    assert streamed.status_code == 201, streamed.text
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == changed.headers["etag"]
    assert client.post(f"{path}/toggle").json()["completed"] is False
    problem(client.post(TASKS, json={"title": ""}), 422, "validation_error")
    problem(client.post(TASKS, content=b"{"), 415, "unsupported_media_type")
    problem(client.get(f"{TASKS}?cursor=x"), 400, "invalid_cursor")
    problem(stranger.get(TASKS), 401, "missing_token")
    problem(stranger.post(TASKS, json={"title": "x"}), 401, "missing_token")
    problem(client.get("/nothing"), 404, "not_found")
    problem(client.put(TASKS), 405, "method_not_allowed")
    deleted = client.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    problem(client.get(path), 404, "task_not_found")
    assert client.get("/readyz").status_code == 200
