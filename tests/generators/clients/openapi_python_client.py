"""Every operation with the client of openapi-python-client."""

import json
import os
from uuid import UUID

from tasks_backend_client import AuthenticatedClient, Client
from tasks_backend_client.api.health import livez, readyz
from tasks_backend_client.api.tasks import (
    tasks_v1_create_task,
    tasks_v1_delete_task,
    tasks_v1_delete_tasks,
    tasks_v1_get_task,
    tasks_v1_list_tasks,
    tasks_v1_patch_task,
    tasks_v1_patch_tasks,
    tasks_v1_replace_task,
    tasks_v1_toggle_task,
)
from tasks_backend_client.models import (
    Live,
    Problem,
    Ready,
    Task,
    TaskCreate,
    TaskPage,
    TaskPatch,
    TaskReplace,
    TasksChange,
    TasksDeleted,
    TasksUpdated,
)

URL = os.environ["TASKS_URL"]


def task(answer: object) -> Task:
    assert isinstance(answer, Task), answer
    return answer


def problem(answer: object) -> Problem:
    assert isinstance(answer, Problem), answer
    return answer


with (
    Client(base_url=URL) as anybody,
    AuthenticatedClient(base_url=URL, token=os.environ["TASKS_TOKEN"]) as client,
):
    live, ready = livez.sync(client=anybody), readyz.sync(client=anybody)
    assert isinstance(live, Live)
    assert isinstance(ready, Ready)
    new = TaskCreate(title="Buy milk", description="two")
    created = task(tasks_v1_create_task.sync(client=client, body=new, idempotency_key="opc"))
    again = tasks_v1_create_task.sync_detailed(client=client, body=new, idempotency_key="opc")
    read = tasks_v1_get_task.sync_detailed(created.id, client=client)
    etag = read.headers["ETag"]
    title = TaskPatch(title="Buy oat milk")
    kept = task(tasks_v1_patch_task.sync(created.id, client=client, body=title, if_match=etag))
    stale = tasks_v1_patch_task.sync(created.id, client=client, body=TaskPatch(), if_match=etag)
    clear = TaskPatch(description=None)
    cleared = task(tasks_v1_patch_task.sync(created.id, client=client, body=clear))
    empty = TaskReplace(title="", description=None, completed=False)
    invalid = problem(tasks_v1_replace_task.sync(created.id, client=client, body=empty))
    whole = TaskReplace(title="Bread", description=None, completed=False)
    tasks_v1_replace_task.sync(created.id, client=client, body=whole)
    toggled = task(tasks_v1_toggle_task.sync(created.id, client=client, idempotency_key="toggle"))
    listed = tasks_v1_list_tasks.sync(client=client, completed=True, q="BREAD", count=True)
    assert isinstance(listed, TaskPage)
    lambda: tasks_v1_list_tasks.sync(client=client, completed="true")  # type: ignore[arg-type]
    updated = tasks_v1_patch_tasks.sync(
        client=client, body=TasksChange(completed=False), completed=True
    )
    assert isinstance(updated, TasksUpdated)
    deleted = tasks_v1_delete_tasks.sync(client=client, completed=True)
    assert isinstance(deleted, TasksDeleted)
    gone = tasks_v1_delete_task.sync_detailed(created.id, client=client)
    missing = tasks_v1_get_task.sync(created.id, client=client)
    unknown = tasks_v1_get_task.sync(UUID(os.environ["TASKS_UNKNOWN"]), client=client)
    head = client.get_httpx_client().head("/api/v1/tasks")

print(  # noqa: T201 - what the test reads
    json.dumps(
        {
            "alive": [live.status, ready.status],
            "same": task(again.parsed).id == created.id,
            "replayed": again.headers["Idempotency-Replayed"],
            "etag": etag,
            "kept": kept.description,
            "cleared": cleared.description,
            "stale": problem(stale).code,
            "invalid": [each.field for each in invalid.errors],
            "toggled": toggled.completed,
            "total": listed.total,
            "updated": updated.updated,
            "deleted": deleted.deleted,
            "gone": gone.status_code,
            "missing": problem(missing).code,
            "unknown": problem(unknown).code,
            "head": head.status_code,
            "table": {
                "ETag": "`sync_detailed(…).headers`",
                "204": f"`parsed` is `{gone.parsed}`",
                "`null`": "`None`; `UNSET` is absent",
                "A failure": "returns `Problem`; nothing is raised",
                "An unknown `code`": "a `str`",
                "`completed` in the query": "`bool`",
                "HEAD": "`client.get_httpx_client().head(…)`",
                "`Idempotency-Key`, `If-Match`": "an argument",
            },
        }
    )
)
