"""The SQL of writes with an idempotency key (decision 0005).

A message has several statements; each sees the effects of the previous ones. The transaction that
inserts the key's row first does the work; the others wait until it ends and read its result. A
transaction that has waited holds a lock on the row, so `delete_expired_keys` cannot delete it. An expired row of the same key is
overwritten.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import (
    Interval,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    not_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.expression import Executable

from tasks_backend.db.statements import SCHEMA, Statement, ensure_user, statement
from tasks_backend.tasks.models import IdempotencyKey, Task
from tasks_backend.tasks.quota_statements import (
    INDEXED,
    KEYS,
    TASKS,
    Count,
    lock_user,
    lock_user_shared,
)
from tasks_backend.tasks.statements import (
    COMPLETED,
    DESCRIPTION,
    FIELDS,
    TASK_ID,
    TITLE,
    USER_ID,
    idempotency,
    is_own_task,
    task,
    task_version_matches,
)

KEY_LOCK_TIMEOUT = "2s"
MAX_COPIED_DESCRIPTION = 1000  # bytes: a toggle's key must not cost more than its request

_KEY = bindparam("key", type_=Text)
_FINGERPRINT = bindparam("fingerprint", type_=Text)
_ATTEMPT = bindparam("attempt", type_=Uuid)
_EXPIRY = func.now() + bindparam("ttl", type_=Interval)
_COLUMNS = (
    USER_ID.label("user_id"),
    _KEY.label("key"),
    _FINGERPRINT.label("fingerprint"),
    _ATTEMPT.label("attempt"),
    _EXPIRY.label("expires_at"),
)
is_this_key = and_(idempotency.user_id == USER_ID, idempotency.key == _KEY)
is_first = and_(is_this_key, idempotency.attempt == _ATTEMPT, idempotency.expires_at == _EXPIRY)
"""Whether this message created the key's row, so that it does the work."""

# Runs last in its message: it locks expired keys of other users, and must not wait for anything then.
DELETE_EXPIRED_KEYS = select(getattr(func, SCHEMA).delete_expired_keys())


class IdempotentWrite(NamedTuple):
    """The two messages of a write with a key: without counting, and with counting.

    Columns of the result: attempt, fingerprint, the result; with counting, one more for each limit:
    how many rows the user may still add. With counting there is no row if the key is new and the
    user has reached a limit.
    """

    uncounted: Statement
    counted: Statement


def idempotent_write(
    values: Select[Any],
    work: Executable,
    result: Select[Any],
    *,
    owner: Sequence[Executable] = (ensure_user,),
    locks: Sequence[Executable] = (),
    then: Sequence[Executable] = (),
    limits: Sequence[Count] = (KEYS,),
    settings: Mapping[str, str] = MappingProxyType({}),
) -> IdempotentWrite:
    """Return the messages that insert a key with these values, do the work and select the result.

    `then` follows the work. `owner` makes the user's row if there may be none. `locks` come before any row lock; with
    counting, that is always the user's lock. `settings` are for the planner.
    """
    end = (work, *then, DELETE_EXPIRED_KEYS)
    settings = {"lock_timeout": KEY_LOCK_TIMEOUT, **settings}
    result = result.with_only_columns(
        idempotency.attempt, idempotency.fingerprint, *result.selected_columns
    )
    return IdempotentWrite(
        statement(
            *locks,
            *owner,
            _claim(values),
            *end,
            result,
            idempotent=True,
            ensures_user=False,  # `owner` does, after the locks
            settings=settings,
        ),
        statement(
            lock_user,
            *owner,
            *(limit.statement for limit in limits),
            _claim(values.where(*(limit.left > 0 for limit in limits))),
            *end,
            result.add_columns(*(limit.left for limit in limits)),
            idempotent=True,
            ensures_user=False,  # `owner` does, after the locks
            settings={**settings, **INDEXED},
        ),
    )


def _claim(values: Select[Any]) -> Insert:
    """Return the statement that inserts the key's row; the values are named like its columns."""
    values = values.add_columns(*_COLUMNS)
    new = insert(IdempotencyKey).from_select(
        [each.name for each in values.selected_columns], values
    )
    return new.on_conflict_do_update(
        index_elements=[idempotency.user_id, idempotency.key],
        set_={each.name: each for each in new.excluded if each.name not in {"user_id", "key"}},
        where=idempotency.expires_at <= func.now(),
    )


_RESULT = (
    *(idempotency["task_id" if name == "id" else name] for name in FIELDS),
    idempotency.version,
)
CREATE_IDEMPOTENT = idempotent_write(
    select(
        TASK_ID.label("task_id"),
        TITLE.label("title"),
        DESCRIPTION.label("description"),
        COMPLETED.label("completed"),
        literal_column("1").label("version"),
        func.now().label("created_at"),
        func.now().label("updated_at"),
    ),
    insert(Task).from_select([*FIELDS, "version"], select(*_RESULT).where(is_first)),
    select(*_RESULT).where(is_this_key),
    limits=(TASKS, KEYS),
)

_is_long = func.coalesce(func.octet_length(task.description) > MAX_COPIED_DESCRIPTION, false())
_description = case(
    (idempotency.description_in_task, task.description), else_=idempotency.description
)
TOGGLE_IDEMPOTENT = idempotent_write(
    select(
        TASK_ID.label("task_id"),
        task.title.label("title"),
        case((not_(_is_long), task.description)).label("description"),
        _is_long.label("description_in_task"),
        not_(task.completed).label("completed"),
        (task.version + 1).label("version"),
        task.created_at.label("created_at"),
        func.clock_timestamp().label("updated_at"),
    )
    .where(is_own_task, task_version_matches)
    .with_for_update(),
    update(Task)
    .where(is_own_task, is_first)
    .values(
        completed=idempotency.completed,
        version=idempotency.version,
        updated_at=idempotency.updated_at,
    ),
    select(*(_description if each is idempotency.description else each for each in _RESULT))
    .join(Task, is_own_task)  # a deleted task answers 404
    .where(is_this_key),
    owner=(),  # a task has one
    # It locks its task before its key; a bulk change does it the other way round.
    locks=(lock_user_shared,),
)
