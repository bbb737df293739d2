"""All the SQL of tasks, compiled at import.

Every statement names its owner, and row-level security would keep other users' rows out even if
one did not (SC-003). Times of a change are taken after any wait for a lock, so they never run
backwards along the versions of a task.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Integer,
    Interval,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import SQLModel

from tasks_backend.db.statements import SCHEMA, statement
from tasks_backend.tasks.models import IdempotencyKey, Task, User


def _columns(table: type[SQLModel]) -> Any:
    return table.__table__.c  # type: ignore[attr-defined] # made by table=True, not declared


task = _columns(Task)
idempotency = _columns(IdempotencyKey)

USER_ID = bindparam("user_id", type_=Text)
TASK_ID = bindparam("id", type_=Uuid)
TITLE = bindparam("title", type_=Text)
DESCRIPTION = bindparam("description", type_=Text)
COMPLETED = bindparam("completed", type_=Boolean)
VERSIONS = bindparam("versions", type_=ARRAY(BigInteger))
ANY_VERSION = bindparam("any_version", type_=Boolean)
KEY = bindparam("key", type_=Text)
FINGERPRINT = bindparam("fingerprint", type_=Text)
ATTEMPT = bindparam("attempt", type_=Uuid)
EXPIRY = func.now() + bindparam("ttl", type_=Interval)
LOCK_TIMEOUT = "2s"

FIELDS = ("id", "user_id", "title", "description", "completed", "created_at", "updated_at")
RETURNED = (*(task[name] for name in FIELDS), task.version)

mine = and_(task.id == TASK_ID, task.user_id == USER_ID)
current = or_(ANY_VERSION, task.version == func.any(VERSIONS))

new_owner = insert(User).values(id=USER_ID).on_conflict_do_nothing()

CREATE = statement(
    insert(Task)
    .values(id=TASK_ID, user_id=USER_ID, title=TITLE, description=DESCRIPTION, completed=COMPLETED)
    .returning(*RETURNED)
    .add_cte(new_owner.cte("new_owner")),
    repeatable=False,
)

GET = statement(select(*RETURNED).where(mine), repeatable=True)

_page = (
    select(*RETURNED)
    .where(task.user_id == USER_ID)
    .where(or_(cast(COMPLETED, Boolean).is_(None), task.completed == COMPLETED))
    .limit(bindparam("limit", type_=Integer))
)
_after = bindparam("after", type_=Uuid)
# A list is read in the order of its own index (decision 0014). PostgreSQL must not take the primary
# key for that order, or it would walk through everybody's tasks: where nulls would go, if there were
# any, tells the two apart. Nor must it read all of a user's tasks at once, to sort them.
_pages = {
    "desc": (_page.order_by(task.id.desc().nulls_last()), task.id < _after),
    "asc": (_page.order_by(task.id.asc().nulls_first()), task.id > _after),
}
FIRST_PAGE = {
    order: statement(page, repeatable=True, enable_bitmapscan="off")
    for order, (page, _) in _pages.items()
}
NEXT_PAGE = {
    order: statement(page.where(is_after), repeatable=True, enable_bitmapscan="off")
    for order, (page, is_after) in _pages.items()
}

_changed = {"version": task.version + 1, "updated_at": func.clock_timestamp()}

UPDATE = statement(
    update(Task)
    .where(mine, current)
    .values(
        title=case((bindparam("set_title", type_=Boolean), TITLE), else_=task.title),
        description=case(
            (bindparam("set_description", type_=Boolean), DESCRIPTION), else_=task.description
        ),
        completed=case(
            (bindparam("set_completed", type_=Boolean), COMPLETED), else_=task.completed
        ),
        **_changed,
    )
    .returning(*RETURNED),
    repeatable=False,
)

TOGGLE = statement(
    update(Task)
    .where(mine, current)
    .values(completed=not_(task.completed), **_changed)
    .returning(*RETURNED),
    repeatable=False,
)

DELETE = statement(delete(Task).where(mine, current).returning(task.id), repeatable=False)

WHOSE = statement(
    select(
        select(task.version).where(mine).scalar_subquery().label("version"),
        getattr(func, SCHEMA).task_is_foreign(TASK_ID).label("is_foreign"),
    ),
    repeatable=True,
)
"""Why a statement found nothing: the version of the caller's own task, or whether it is another's."""

# With an idempotency key, one message holds several statements, each seeing what the one before it
# did. Whoever inserts the key's row first does the work; the others wait for that transaction to
# end and then read its answer (decision 0005).

_wait_briefly = select(func.set_config("lock_timeout", LOCK_TIMEOUT, true()))
_forget_expired = delete(IdempotencyKey).where(
    idempotency.user_id == USER_ID, idempotency.expires_at <= func.now()
)
_this_key = and_(idempotency.user_id == USER_ID, idempotency.key == KEY)
_claimed_here = and_(_this_key, idempotency.attempt == ATTEMPT, idempotency.expires_at == EXPIRY)

_ANSWER = (
    *(idempotency["task_id" if name == "id" else name] for name in FIELDS),
    idempotency.version,
    idempotency.attempt,
    idempotency.fingerprint,
)

CREATE_ONCE = statement(
    _wait_briefly,
    new_owner,
    _forget_expired,
    insert(IdempotencyKey)
    .values(
        user_id=USER_ID,
        key=KEY,
        fingerprint=FINGERPRINT,
        attempt=ATTEMPT,
        task_id=TASK_ID,
        title=TITLE,
        description=DESCRIPTION,
        completed=COMPLETED,
        version=1,
        created_at=func.now(),
        updated_at=func.now(),
        expires_at=EXPIRY,
    )
    .on_conflict_do_nothing(),
    insert(Task).from_select(
        [*FIELDS, "version"], select(*_ANSWER[: len(FIELDS) + 1]).where(_claimed_here)
    ),
    select(*_ANSWER).where(_this_key),
    repeatable=True,
)

TOGGLE_ONCE = statement(
    _wait_briefly,
    _forget_expired,
    insert(IdempotencyKey)
    .from_select(
        [
            *("user_id", "key", "fingerprint", "attempt", "task_id", "title", "description"),
            *("completed", "version", "created_at", "updated_at", "expires_at"),
        ],
        select(
            *(task.user_id, KEY, FINGERPRINT, ATTEMPT, task.id, task.title, task.description),
            *(not_(task.completed), task.version + 1, task.created_at, func.clock_timestamp()),
            EXPIRY,
        )
        .where(mine, current)
        .with_for_update(),
    )
    .on_conflict_do_nothing(),
    update(Task)
    .where(mine, _claimed_here)
    .values(
        completed=idempotency.completed,
        version=idempotency.version,
        updated_at=idempotency.updated_at,
    ),
    select(*_ANSWER)
    .join(Task, and_(task.id == TASK_ID, task.user_id == USER_ID))  # a deleted task answers 404
    .where(_this_key),
    repeatable=True,
)
