"""All the SQL of tasks, compiled at import.

Every statement names its owner, and row-level security would keep other users' rows out even if
one did not (SC-003). Times of a change are taken after any wait for a lock, so they never run
backwards along the versions of a task.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Integer,
    Interval,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    delete,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert
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
    idempotent=False,
)

GET = statement(select(*RETURNED).where(mine), idempotent=True)

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
    order: statement(page, idempotent=True, enable_bitmapscan="off")
    for order, (page, _) in _pages.items()
}
NEXT_PAGE = {
    order: statement(page.where(is_after), idempotent=True, enable_bitmapscan="off")
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
    idempotent=False,
)

TOGGLE = statement(
    update(Task)
    .where(mine, current)
    .values(completed=not_(task.completed), **_changed)
    .returning(*RETURNED),
    idempotent=False,
)

DELETE = statement(delete(Task).where(mine, current).returning(task.id), idempotent=False)

TASK_OWNERSHIP = statement(
    select(
        select(task.version).where(mine).scalar_subquery().label("version"),
        getattr(func, SCHEMA).task_is_foreign(TASK_ID).label("is_foreign"),
    ),
    idempotent=True,
)
"""Why a statement found nothing: the version of the caller's own task, or whether it is another's."""

# What a user may store is bounded (decision 0016). Counting rows costs more than a twentieth of a
# write, so `Quota` says when it has to be done, and there are messages that count beside those that
# do not. Counting writes of one user take turns: the lock comes first in its message, before any row
# is locked, and every later statement sees what the write before has stored. The result of counting
# is kept in a setting that ends with the message.

MAX_TASKS = bindparam("max_tasks", type_=BigInteger)  # None for no limit, as for keys
MAX_KEYS = bindparam("max_keys", type_=BigInteger)
_LOCK_CLASS = 0x7461736B  # "task": tells these advisory locks from those of other programs

_take_turns = select(func.pg_advisory_xact_lock(_LOCK_CLASS, func.hashtext(USER_ID)))
_tasks_left = bindparam("tasks_left", f"{SCHEMA}.tasks_left", type_=Text)
_keys_left = bindparam("keys_left", f"{SCHEMA}.keys_left", type_=Text)


def _count(setting: BindParameter[str], limit: BindParameter[int], *own: Any) -> Select[Any]:
    """Return the statement that keeps how many more rows the user may have, in that setting."""
    found = select(literal_column("1")).where(*own).limit(func.coalesce(limit, 0)).subquery()
    count = select(func.count()).select_from(found).scalar_subquery()
    return select(func.set_config(setting, cast(func.coalesce(limit - count, 1), Text), true()))


def _left(setting: BindParameter[str]) -> ColumnElement[int]:
    return cast(func.current_setting(setting), BigInteger)


_count_tasks = _count(_tasks_left, MAX_TASKS, task.user_id == USER_ID)
_count_keys = _count(
    _keys_left,
    MAX_KEYS,
    idempotency.user_id == USER_ID,
    idempotency.expires_at > func.now(),
)
_INDEXED = {"enable_seqscan": "off", "enable_bitmapscan": "off"}

CREATE_COUNTED = statement(
    _take_turns,
    new_owner,
    _count_tasks,
    insert(Task)
    .from_select(
        ["id", "user_id", "title", "description", "completed"],
        select(TASK_ID, USER_ID, TITLE, DESCRIPTION, COMPLETED).where(_left(_tasks_left) > 0),
    )
    .returning(*RETURNED, _left(_tasks_left)),
    idempotent=False,
    **_INDEXED,
)
"""Returns no row if the user has MAX_TASKS tasks; else the task, and how many were left before."""

TASKS_LEFT = statement(_count_tasks, idempotent=True, **_INDEXED)

# With an idempotency key, one message holds several statements, each seeing what the one before it
# did. Whoever inserts the key's row first does the work; the others wait for that transaction to
# end and then read its answer (decision 0005). The row is locked by then, so no sweep can delete it
# before it is read. An expired row of this key is taken over.

KEPT_DESCRIPTION = 1000  # bytes: a toggle's key must not cost more than its request

_wait_briefly = select(func.set_config("lock_timeout", LOCK_TIMEOUT, true()))
_this_key = and_(idempotency.user_id == USER_ID, idempotency.key == KEY)
_claimed_here = and_(_this_key, idempotency.attempt == ATTEMPT, idempotency.expires_at == EXPIRY)
_is_long = func.coalesce(func.octet_length(task.description) > KEPT_DESCRIPTION, false())

# Last but for the answer: while it has locked others' expired keys, a message waits for nothing.
DELETE_EXPIRED_KEYS = select(getattr(func, SCHEMA).delete_expired_keys())


def _claim(values: Select[Any]) -> Insert:
    """Return the statement that makes the key's row of these values, named as its columns."""
    names = [column.name for column in values.selected_columns]
    claim = insert(IdempotencyKey).from_select(names, values)
    return claim.on_conflict_do_update(
        index_elements=[idempotency.user_id, idempotency.key],
        set_={name: claim.excluded[name] for name in names if name not in {"user_id", "key"}},
        where=idempotency.expires_at <= func.now(),
    )


_key = (
    USER_ID.label("user_id"),
    KEY.label("key"),
    FINGERPRINT.label("fingerprint"),
    ATTEMPT.label("attempt"),
    TASK_ID.label("task_id"),
    EXPIRY.label("expires_at"),
)
_created = select(
    *_key,
    TITLE.label("title"),
    DESCRIPTION.label("description"),
    false().label("description_in_task"),
    COMPLETED.label("completed"),
    literal_column("1").label("version"),
    func.now().label("created_at"),
    func.now().label("updated_at"),
)
_toggled = (
    select(
        *_key,
        task.title.label("title"),
        case((not_(_is_long), task.description)).label("description"),
        _is_long.label("description_in_task"),
        not_(task.completed).label("completed"),
        (task.version + 1).label("version"),
        task.created_at.label("created_at"),
        func.clock_timestamp().label("updated_at"),
    )
    .where(mine, current)
    .with_for_update()
)
_MADE = (
    *(idempotency["task_id" if name == "id" else name] for name in FIELDS),
    idempotency.version,
)
_make_task = insert(Task).from_select([*FIELDS, "version"], select(*_MADE).where(_claimed_here))
_show_created = select(*_MADE, idempotency.attempt, idempotency.fingerprint).where(_this_key)

CREATE_IDEMPOTENT = statement(
    _wait_briefly,
    new_owner,
    _claim(_created),
    _make_task,
    DELETE_EXPIRED_KEYS,
    _show_created,
    idempotent=True,
)
CREATE_ONCE_COUNTED = statement(
    _wait_briefly,
    _take_turns,
    new_owner,
    _count_tasks,
    _count_keys,
    _claim(_created.where(_left(_tasks_left) > 0, _left(_keys_left) > 0)),
    _make_task,
    DELETE_EXPIRED_KEYS,
    _show_created.add_columns(_left(_tasks_left), _left(_keys_left)),
    idempotent=True,
    **_INDEXED,
)
"""Returns no row if the key is new and the user has MAX_TASKS tasks or MAX_KEYS keys."""

_toggle = (
    update(Task)
    .where(mine, _claimed_here)
    .values(
        completed=idempotency.completed,
        version=idempotency.version,
        updated_at=idempotency.updated_at,
    )
)
_description = case(
    (idempotency.description_in_task, task.description), else_=idempotency.description
)
_show_toggled = (
    select(
        *(_description if column is idempotency.description else column for column in _MADE),
        idempotency.attempt,
        idempotency.fingerprint,
    )
    .join(Task, mine)  # a deleted task answers 404
    .where(_this_key)
)

TOGGLE_IDEMPOTENT = statement(
    _wait_briefly,
    _claim(_toggled),
    _toggle,
    DELETE_EXPIRED_KEYS,
    _show_toggled,
    idempotent=True,
)
TOGGLE_ONCE_COUNTED = statement(
    _wait_briefly,
    _take_turns,
    _count_keys,
    _claim(_toggled.where(_left(_keys_left) > 0)),
    _toggle,
    DELETE_EXPIRED_KEYS,
    _show_toggled.add_columns(_left(_keys_left)),
    idempotent=True,
    **_INDEXED,
)
"""Returns no row also if the key is new and the user has MAX_KEYS keys."""
