"""The SQL that changes or deletes all of the caller's tasks that a query selects.

A message changes all selected tasks or none. The user's advisory lock comes first, so two of these
messages of one user never wait for each other's tasks in different orders. After waiting for another
write to a task, PostgreSQL checks the conditions again.
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
from tasks_backend.tasks.list_statements import PATTERN, READS_OWN_ROWS, contains_text
from tasks_backend.tasks.models import IdempotencyKey, Task
from tasks_backend.tasks.quota_statements import lock_user
from tasks_backend.tasks.statements import (
    CHANGED,
    COMPLETED,
    USER_ID,
    idempotency,
    task,
)

_NEW_COMPLETED = bindparam("new_completed", type_=Boolean)
_is_selected = (
    task.user_id == USER_ID,
    task.completed == COMPLETED,
    or_(cast(PATTERN, Text).is_(None), contains_text),
)
_is_first = exists().where(is_first)


def _update(*conditions: Any) -> CTE:
    """Set `completed` of the selected tasks that have another value."""
    change = update(Task).where(*_is_selected, task.completed != _NEW_COMPLETED, *conditions)
    return change.values(completed=_NEW_COMPLETED, **CHANGED).returning(task.id).cte("changed")


def _delete(*conditions: Any) -> CTE:
    return delete(Task).where(*_is_selected, *conditions).returning(task.id).cte("changed")


def _count(changed: CTE) -> Any:
    return select(func.count()).select_from(changed)


def _idempotent(changed: CTE) -> IdempotentWrite:
    return idempotent_write(
        select(literal_column("0").label("count")),
        update(IdempotencyKey).where(is_first).values(count=_count(changed).scalar_subquery()),
        select(idempotency["count"]).where(is_this_key),
        locks=(lock_user,),
        settings=READS_OWN_ROWS,
    )


UPDATE_ALL = statement(lock_user, _count(_update()), idempotent=False, settings=READS_OWN_ROWS)
UPDATE_ALL_IDEMPOTENT = _idempotent(_update(_is_first))
DELETE_ALL = statement(lock_user, _count(_delete()), idempotent=False, settings=READS_OWN_ROWS)
DELETE_ALL_IDEMPOTENT = _idempotent(_delete(_is_first))
