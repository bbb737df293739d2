"""The SQL that changes or deletes all of the caller's tasks that a query selects.

A message changes all selected tasks or none. It locks them in the order of the list's index, so two
of these messages cannot wait for each other.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    Boolean,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from tasks_backend.db.statements import statement
from tasks_backend.tasks.idempotent_statements import (
    IdempotentWrite,
    idempotent_write,
    is_first,
    is_this_key,
)
from tasks_backend.tasks.list_statements import OWN_ROWS, PATTERN, contains_text
from tasks_backend.tasks.models import IdempotencyKey, Task
from tasks_backend.tasks.statements import CHANGED, COMPLETED, USER_ID, idempotency, task

_NEW_COMPLETED = bindparam("new_completed", type_=Boolean)
_is_selected = (
    task.user_id == USER_ID,
    task.completed == COMPLETED,
    or_(cast(PATTERN, Text).is_(None), contains_text),
)
_is_first = exists().where(is_first)


def _update(*conditions: Any) -> CTE:
    """Set `completed` of the selected tasks that have another value."""
    locked = _lock(*_is_selected, task.completed != _NEW_COMPLETED, *conditions)
    change = update(Task).where(task.id == locked.c.id, task.user_id == USER_ID)
    return change.values(completed=_NEW_COMPLETED, **CHANGED).returning(task.id).cte("changed")


def _delete(*conditions: Any) -> CTE:
    locked = _lock(*_is_selected, *conditions)
    removal = delete(Task).where(task.id == locked.c.id, task.user_id == USER_ID)
    return removal.returning(task.id).cte("changed")


def _lock(*conditions: Any) -> CTE:
    """Lock the tasks. After waiting for a lock, PostgreSQL checks the conditions again."""
    tasks = select(task.id).where(*conditions).order_by(task.id.desc().nulls_last())
    return tasks.with_for_update().cte("locked")


def _count(changed: CTE) -> Any:
    return select(func.count()).select_from(changed)


def _idempotent(changed: CTE) -> IdempotentWrite:
    return idempotent_write(
        select(literal_column("0").label("count")),
        update(IdempotencyKey).where(is_first).values(count=_count(changed).scalar_subquery()),
        select(idempotency["count"]).where(is_this_key),
        settings=OWN_ROWS,
    )


UPDATE_ALL = statement(_count(_update()), idempotent=False, **OWN_ROWS)
UPDATE_ALL_IDEMPOTENT = _idempotent(_update(_is_first))
DELETE_ALL = statement(_count(_delete()), idempotent=False, **OWN_ROWS)
DELETE_ALL_IDEMPOTENT = _idempotent(_delete(_is_first))
