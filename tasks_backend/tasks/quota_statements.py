"""The SQL that limits a user's rows (decision 0016).

Counting costs more than 5 % of a write, so `Quota` decides when to count, and each write has a
message with counting and one without. An advisory lock serialises the counting writes of one user. It
comes first in the message, before any row lock, so later statements see what the previous write
stored. A setting that ends with the message holds the result of counting.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Select,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert

from tasks_backend.db.statements import SCHEMA, ensure_user, statement
from tasks_backend.tasks.models import Task
from tasks_backend.tasks.statements import (
    COMPLETED,
    DESCRIPTION,
    RETURNED,
    TASK_ID,
    TITLE,
    USER_ID,
    idempotency,
    task,
)

_MAX_TASKS = bindparam("max_tasks", type_=BigInteger)  # None means no limit, as for keys
_MAX_KEYS = bindparam("max_keys", type_=BigInteger)
_LOCK_CLASS = 0x7461736B  # "task": separates these advisory locks from other programs'

_USER_LOCK = (_LOCK_CLASS, func.hashtext(USER_ID))
lock_user = select(func.pg_advisory_xact_lock(*_USER_LOCK))
lock_user_shared = select(func.pg_advisory_xact_lock_shared(*_USER_LOCK))
"""For writes that may run beside each other, but not beside one that has `lock_user`."""
INDEXED = {"enable_seqscan": "off", "enable_bitmapscan": "off"}


@dataclass(frozen=True)
class Count:
    """Counts the user's rows of one kind, for the statements after it in the same message."""

    statement: Select[Any]
    left: ColumnElement[int]
    """How many more rows the user may have."""


def _count(name: str, most: BindParameter[int], *conditions: Any) -> Count:
    setting = bindparam(name, f"{SCHEMA}.{name}", type_=Text)
    rows = select(literal_column("1")).where(*conditions).limit(func.coalesce(most, 0)).subquery()
    count = select(func.count()).select_from(rows).scalar_subquery()
    left = cast(func.coalesce(most - count, 1), Text)
    return Count(
        select(func.set_config(setting, left, true())),
        cast(func.current_setting(setting), BigInteger),
    )


TASKS = _count("tasks_left", _MAX_TASKS, task.user_id == USER_ID)
KEYS = _count(
    "keys_left",
    _MAX_KEYS,
    idempotency.user_id == USER_ID,
    idempotency.expires_at > func.now(),
)

CREATE_COUNTED = statement(
    lock_user,
    ensure_user,
    TASKS.statement,
    insert(Task)
    .from_select(
        ["id", "user_id", "title", "description", "completed"],
        select(TASK_ID, USER_ID, TITLE, DESCRIPTION, COMPLETED).where(TASKS.left > 0),
    )
    .returning(*RETURNED, TASKS.left),
    idempotent=False,
    settings=INDEXED,
)
"""Returns no row if the user has MAX_TASKS tasks; else the task, and the rows left before it."""

TASKS_LEFT = statement(TASKS.statement, idempotent=True, settings=INDEXED)
