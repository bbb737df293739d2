"""Every operation with the Python client of OpenAPI Generator."""

import json
import os
from collections.abc import Callable
from uuid import UUID

from tasks_client import (
    ApiClient,
    ApiException,
    Configuration,
    HealthApi,
    TaskCreate,
    TaskPatch,
    TaskReplace,
    TasksApi,
    TasksChange,
)
from tasks_client.models.problem import Problem


def failure(call: Callable[[], object]) -> Problem:
    """What the call raises."""
    try:
        call()
    except ApiException as error:
        problem = error.data
    assert isinstance(problem, Problem)
    return problem


configuration = Configuration(host=os.environ["TASKS_URL"], access_token=os.environ["TASKS_TOKEN"])
with ApiClient(configuration) as client:
    health, tasks = HealthApi(client), TasksApi(client)
    live, ready = health.livez(), health.readyz()
    new = TaskCreate(title="Buy milk", description="two")
    created = tasks.tasks_v1_create_task(new, idempotency_key="openapi-generator")
    again = tasks.tasks_v1_create_task_with_http_info(new, idempotency_key="openapi-generator")
    read = tasks.tasks_v1_get_task_with_http_info(created.id)
    assert again.headers is not None
    assert read.headers is not None
    etag = read.headers["etag"]
    title = TaskPatch(title="Buy oat milk")
    kept = tasks.tasks_v1_patch_task(created.id, title, if_match=etag)
    stale = failure(lambda: tasks.tasks_v1_patch_task(created.id, TaskPatch(), if_match=etag))
    cleared = tasks.tasks_v1_patch_task(created.id, TaskPatch(description=None))
    empty = TaskReplace.model_construct(title="", description=None, completed=False)
    invalid = failure(lambda: tasks.tasks_v1_replace_task(created.id, empty))
    whole = TaskReplace(title="Bread", description=None, completed=False)
    tasks.tasks_v1_replace_task(created.id, whole)
    toggled = tasks.tasks_v1_toggle_task(created.id, idempotency_key="toggle")
    listed = tasks.tasks_v1_list_tasks(completed=True, q="BREAD", count=True)
    lambda: tasks.tasks_v1_list_tasks(completed="true")  # type: ignore[arg-type]
    updated = tasks.tasks_v1_patch_tasks(True, TasksChange(completed=False))
    deleted = tasks.tasks_v1_delete_tasks(True)
    gone = tasks.tasks_v1_delete_task_with_http_info(created.id)
    missing = failure(lambda: tasks.tasks_v1_get_task(created.id))
    unknown = failure(lambda: tasks.tasks_v1_get_task(UUID(os.environ["TASKS_UNKNOWN"])))
    head = client.rest_client.request(
        "HEAD",
        f"{configuration.host}/api/v1/tasks",
        headers={"Authorization": f"Bearer {configuration.access_token}"},
    )

print(  # noqa: T201 - what the test reads
    json.dumps(
        {
            "alive": [live.status, ready.status],
            "same": again.data.id == created.id,
            "replayed": again.headers["idempotency-replayed"],
            "etag": etag,
            "kept": kept.description,
            "cleared": cleared.description,
            "stale": stale.code,
            "invalid": [each.var_field for each in invalid.errors],
            "toggled": toggled.completed,
            "total": listed.total,
            "updated": updated.updated,
            "deleted": deleted.deleted,
            "gone": gone.status_code,
            "missing": missing.code,
            "unknown": unknown.code,
            "head": head.status,
            "table": {
                "ETag": "`…_with_http_info(…).headers`, in lower case",
                "204": f"`data` is `{gone.data}`",
                "`null`": "`None` if it is set; a field that is not set is absent",
                "A failure": "raises `ApiException`; `data` is the `Problem`",
                "An unknown `code`": "a `str`",
                "`completed` in the query": "`bool`",
                "HEAD": "`client.rest_client.request(…)`",
                "`Idempotency-Key`, `If-Match`": "an argument",
            },
        }
    )
)
