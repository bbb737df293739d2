"""The SQL of one task, compiled at import.

Statements filter by owner; row-level security excludes other users' rows even if one does not
(SC-003). `updated_at` is read after the locks are held, so a later version never has an earlier time.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import SQLModel

from tasks_backend.db.statements import SCHEMA, statement
from tasks_backend.tasks.models import IdempotencyKey, Task


def _columns(table: type[SQLModel]) -> Any:
    return table.__table__.c  # type: ignore[attr-defined] # added by table=True


task = _columns(Task)
idempotency = _columns(IdempotencyKey)

USER_ID = bindparam("user_id", type_=Text)
TASK_ID = bindparam("id", type_=Uuid)
TITLE = bindparam("title", type_=Text)
DESCRIPTION = bindparam("description", type_=Text)
COMPLETED = bindparam("completed", type_=Boolean)
VERSIONS = bindparam("versions", type_=ARRAY(BigInteger))
ANY_VERSION = bindparam("any_version", type_=Boolean)

FIELDS = ("id", "user_id", "title", "description", "completed", "created_at", "updated_at")
RETURNED = (*(task[name] for name in FIELDS), task.version)

is_own_task = and_(task.id == TASK_ID, task.user_id == USER_ID)


def matches_version(version: Any) -> ColumnElement[bool]:
    """Return the condition that a version column is one of `If-Match`: see `IfMatch.parameters`."""
    return or_(ANY_VERSION, version == func.any(VERSIONS))


task_version_matches = matches_version(task.version)

owns_task = exists().where(task.id == bindparam("task_id", type_=Uuid), task.user_id == USER_ID)
"""The condition that the caller owns the task `task_id`, for statements of plugins."""

CREATE = statement(
    insert(Task)
    .values(id=TASK_ID, user_id=USER_ID, title=TITLE, description=DESCRIPTION, completed=COMPLETED)
    .returning(*RETURNED),
    idempotent=False,
)

GET = statement(select(*RETURNED).where(is_own_task), idempotent=True)

CHANGED = {"version": task.version + 1, "updated_at": func.clock_timestamp()}

UPDATE = statement(
    update(Task)
    .where(is_own_task, task_version_matches)
    .values(
        title=case((bindparam("set_title", type_=Boolean), TITLE), else_=task.title),
        description=case(
            (bindparam("set_description", type_=Boolean), DESCRIPTION), else_=task.description
        ),
        completed=case(
            (bindparam("set_completed", type_=Boolean), COMPLETED), else_=task.completed
        ),
        **CHANGED,
    )
    .returning(*RETURNED),
    idempotent=False,
)

TOGGLE = statement(
    update(Task)
    .where(is_own_task, task_version_matches)
    .values(completed=not_(task.completed), **CHANGED)
    .returning(*RETURNED),
    idempotent=False,
)

DELETE = statement(
    delete(Task).where(is_own_task, task_version_matches).returning(task.id), idempotent=False
)

TASK_OWNERSHIP = statement(
    select(
        select(task.version).where(is_own_task).scalar_subquery().label("version"),
        getattr(func, SCHEMA).task_is_foreign(TASK_ID).label("is_foreign"),
    ),
    idempotent=True,
)
"""Explains an empty result: the version of the caller's task, or whether another user owns it."""
