"""Whose task it is: the answers for a task in a path (decision 0003)."""

import uuid
from typing import Annotated

from fastapi import Path

from tasks_backend.db.database import CallerDatabase
from tasks_backend.errors import TaskForbidden, TaskNotFound
from tasks_backend.tasks import examples
from tasks_backend.tasks.statements import TASK_OWNERSHIP

TaskId = Annotated[uuid.UUID, Path(description="The `id` of a task.", examples=[examples.TASK_ID])]
"""The path parameter `task_id`."""


async def require_task(own: CallerDatabase, task_id: uuid.UUID, *, changes: bool) -> int:
    """Return the version of the caller's task, with one message.

    Raises TaskNotFound if there is no such task. For another user's task, raises TaskForbidden if the
    request `changes` something, else TaskNotFound too.
    """
    ((version, is_foreign),) = await own.run(TASK_OWNERSHIP, id=str(task_id))
    if version is None:
        raise TaskForbidden if is_foreign and changes else TaskNotFound
    return int(version)
