"""Labels of tasks, at /api/v1/tasks/{task_id}/labels."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel
from sqlalchemy import text

from tasks_backend import ApiError, OwnRows, Plugin, problems, statement
from tasks_backend.resources import TaskForbidden, TaskId, TaskNotFound, require_task

LIST = statement(
    text("""
        SELECT name FROM tasks_backend_labels.labels
        WHERE user_id = :user_id AND task_id = :task_id ORDER BY name
    """),
    idempotent=True,
)
ADD = statement(
    text("""
        INSERT INTO tasks_backend_labels.labels (user_id, task_id, name)
        SELECT user_id, id, :name FROM tasks_backend.tasks
        WHERE user_id = :user_id AND id = :task_id
        ON CONFLICT (task_id, name) DO UPDATE SET name = excluded.name
        RETURNING name
    """),
    idempotent=True,
)
REMOVE = statement(
    text("""
        DELETE FROM tasks_backend_labels.labels
        WHERE user_id = :user_id AND task_id = :task_id AND name = :name RETURNING name
    """),
    idempotent=False,
)
Name = Annotated[str, InPath(pattern=r"^[\w-]{1,40}$")]
router = APIRouter(tags=["labels"])


class LabelNotFound(ApiError):
    status, code, title = 404, "label_not_found", "No such label"
    summary = "The task has no such label."


class Labels(BaseModel):
    items: list[str]


@router.get("", responses=problems(TaskNotFound))
async def list_labels(task_id: TaskId, own: OwnRows) -> Labels:
    await require_task(own, task_id, changes=False)
    return Labels(items=[name for (name,) in await own.run(LIST, task_id=str(task_id))])


@router.put("/{name}", status_code=204, responses=problems(TaskForbidden, TaskNotFound))
async def add_label(task_id: TaskId, name: Name, own: OwnRows) -> None:
    if not await own.run(ADD, task_id=str(task_id), name=name):
        await require_task(own, task_id, changes=True)


@router.delete(
    "/{name}", status_code=204, responses=problems(TaskForbidden, TaskNotFound, LabelNotFound)
)
async def remove_label(task_id: TaskId, name: Name, own: OwnRows) -> None:
    if not await own.run(REMOVE, task_id=str(task_id), name=name):
        await require_task(own, task_id, changes=True)
        raise LabelNotFound


MIGRATIONS = Path(__file__).with_name("migrations")
plugin = Plugin("labels", task_routers={"v1": router}, migrations=MIGRATIONS)
