"""All the SQL of tasks, compiled at import.

Statements filter by owner; row-level security excludes other users' rows even if one does not
(SC-003). `updated_at` is read after the locks are held, so a later version never has an earlier time.
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
KEY = bindparam("key", type_=Text)
FINGERPRINT = bindparam("fingerprint", type_=Text)
ATTEMPT = bindparam("attempt", type_=Uuid)
EXPIRY = func.now() + bindparam("ttl", type_=Interval)
KEY_LOCK_TIMEOUT = "2s"

FIELDS = ("id", "user_id", "title", "description", "completed", "created_at", "updated_at")
RETURNED = (*(task[name] for name in FIELDS), task.version)

is_own_task = and_(task.id == TASK_ID, task.user_id == USER_ID)
version_matches = or_(ANY_VERSION, task.version == func.any(VERSIONS))

new_owner = insert(User).values(id=USER_ID).on_conflict_do_nothing()

CREATE = statement(
    insert(Task)
    .values(id=TASK_ID, user_id=USER_ID, title=TITLE, description=DESCRIPTION, completed=COMPLETED)
    .returning(*RETURNED)
    .add_cte(new_owner.cte("new_owner")),
    idempotent=False,
)

GET = statement(select(*RETURNED).where(is_own_task), idempotent=True)

_page = (
    select(*RETURNED)
    .where(task.user_id == USER_ID)
    .where(or_(cast(COMPLETED, Boolean).is_(None), task.completed == COMPLETED))
    .limit(bindparam("limit", type_=Integer))
)
_after = bindparam("after", type_=Uuid)
# A list uses its own index (decision 0014). With the primary key's order, PostgreSQL would scan all
# users' tasks; the position of nulls makes the two orders different. Bitmap scans are off, so that it
# does not read and sort all tasks of a user.
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
    .where(is_own_task, version_matches)
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
    .where(is_own_task, version_matches)
    .values(completed=not_(task.completed), **_changed)
    .returning(*RETURNED),
    idempotent=False,
)

DELETE = statement(
    delete(Task).where(is_own_task, version_matches).returning(task.id), idempotent=False
)

TASK_OWNERSHIP = statement(
    select(
        select(task.version).where(is_own_task).scalar_subquery().label("version"),
        getattr(func, SCHEMA).task_is_foreign(TASK_ID).label("is_foreign"),
    ),
    idempotent=True,
)
"""Explains an empty result: the version of the caller's task, or whether another user owns it."""

# The rows of a user are limited (decision 0016). Counting costs more than 5 % of a write, so `Quota`
# decides when to count, and each write has a message with counting and one without. An advisory lock
# serialises the counting writes of one user. It comes first in the message, before any row lock, so
# later statements see what the previous write stored. A setting that ends with the message holds the
# result of counting.

MAX_TASKS = bindparam("max_tasks", type_=BigInteger)  # None means no limit, as for keys
MAX_KEYS = bindparam("max_keys", type_=BigInteger)
_LOCK_CLASS = 0x7461736B  # "task": separates these advisory locks from other programs'

_lock_user = select(func.pg_advisory_xact_lock(_LOCK_CLASS, func.hashtext(USER_ID)))
_tasks_left = bindparam("tasks_left", f"{SCHEMA}.tasks_left", type_=Text)
_keys_left = bindparam("keys_left", f"{SCHEMA}.keys_left", type_=Text)


def _store_remaining(
    setting: BindParameter[str], limit: BindParameter[int], *conditions: Any
) -> Select[Any]:
    """Return the statement that stores in a setting how many more rows the user may have."""
    rows = select(literal_column("1")).where(*conditions).limit(func.coalesce(limit, 0)).subquery()
    count = select(func.count()).select_from(rows).scalar_subquery()
    return select(func.set_config(setting, cast(func.coalesce(limit - count, 1), Text), true()))


def _remaining(setting: BindParameter[str]) -> ColumnElement[int]:
    return cast(func.current_setting(setting), BigInteger)


_count_tasks = _store_remaining(_tasks_left, MAX_TASKS, task.user_id == USER_ID)
_count_keys = _store_remaining(
    _keys_left,
    MAX_KEYS,
    idempotency.user_id == USER_ID,
    idempotency.expires_at > func.now(),
)
_INDEXED = {"enable_seqscan": "off", "enable_bitmapscan": "off"}

CREATE_COUNTED = statement(
    _lock_user,
    new_owner,
    _count_tasks,
    insert(Task)
    .from_select(
        ["id", "user_id", "title", "description", "completed"],
        select(TASK_ID, USER_ID, TITLE, DESCRIPTION, COMPLETED).where(_remaining(_tasks_left) > 0),
    )
    .returning(*RETURNED, _remaining(_tasks_left)),
    idempotent=False,
    **_INDEXED,
)
"""Returns no row if the user has MAX_TASKS tasks; else the task, and the rows left before it."""

TASKS_LEFT = statement(_count_tasks, idempotent=True, **_INDEXED)

# With an idempotency key, a message has several statements; each sees the effects of the previous
# ones. The transaction that inserts the key's row first does the work; the others wait until it ends
# and read its result (decision 0005). By then they have locked the row, so `delete_expired_keys`
# cannot delete it. An expired row of the same key is overwritten.

MAX_COPIED_DESCRIPTION = 1000  # bytes: a toggle's key must not cost more than its request

_limit_lock_wait = select(func.set_config("lock_timeout", KEY_LOCK_TIMEOUT, true()))
_this_key = and_(idempotency.user_id == USER_ID, idempotency.key == KEY)
_claimed_by_this_message = and_(
    _this_key, idempotency.attempt == ATTEMPT, idempotency.expires_at == EXPIRY
)
_is_long = func.coalesce(func.octet_length(task.description) > MAX_COPIED_DESCRIPTION, false())

# Runs last in its message: it locks expired keys of other users, and must not wait for anything then.
DELETE_EXPIRED_KEYS = select(getattr(func, SCHEMA).delete_expired_keys())


def _claim(values: Select[Any]) -> Insert:
    """Return the statement that inserts the key's row; the values are named like its columns."""
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
    .where(is_own_task, version_matches)
    .with_for_update()
)
_KEY_RESULT = (
    *(idempotency["task_id" if name == "id" else name] for name in FIELDS),
    idempotency.version,
)
_insert_task = insert(Task).from_select(
    [*FIELDS, "version"], select(*_KEY_RESULT).where(_claimed_by_this_message)
)
_select_created = select(*_KEY_RESULT, idempotency.attempt, idempotency.fingerprint).where(
    _this_key
)

CREATE_IDEMPOTENT = statement(
    _limit_lock_wait,
    new_owner,
    _claim(_created),
    _insert_task,
    DELETE_EXPIRED_KEYS,
    _select_created,
    idempotent=True,
)
CREATE_IDEMPOTENT_COUNTED = statement(
    _limit_lock_wait,
    _lock_user,
    new_owner,
    _count_tasks,
    _count_keys,
    _claim(_created.where(_remaining(_tasks_left) > 0, _remaining(_keys_left) > 0)),
    _insert_task,
    DELETE_EXPIRED_KEYS,
    _select_created.add_columns(_remaining(_tasks_left), _remaining(_keys_left)),
    idempotent=True,
    **_INDEXED,
)
"""Returns no row if the key is new and the user has MAX_TASKS tasks or MAX_KEYS keys."""

_apply_toggle = (
    update(Task)
    .where(is_own_task, _claimed_by_this_message)
    .values(
        completed=idempotency.completed,
        version=idempotency.version,
        updated_at=idempotency.updated_at,
    )
)
_description = case(
    (idempotency.description_in_task, task.description), else_=idempotency.description
)
_select_toggled = (
    select(
        *(_description if column is idempotency.description else column for column in _KEY_RESULT),
        idempotency.attempt,
        idempotency.fingerprint,
    )
    .join(Task, is_own_task)  # a deleted task answers 404
    .where(_this_key)
)

TOGGLE_IDEMPOTENT = statement(
    _limit_lock_wait,
    _claim(_toggled),
    _apply_toggle,
    DELETE_EXPIRED_KEYS,
    _select_toggled,
    idempotent=True,
)
TOGGLE_IDEMPOTENT_COUNTED = statement(
    _limit_lock_wait,
    _lock_user,
    _count_keys,
    _claim(_toggled.where(_remaining(_keys_left) > 0)),
    _apply_toggle,
    DELETE_EXPIRED_KEYS,
    _select_toggled.add_columns(_remaining(_keys_left)),
    idempotent=True,
    **_INDEXED,
)
"""Returns no row also if the key is new and the user has MAX_KEYS keys."""
