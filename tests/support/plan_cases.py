"""The service's messages, their limits in PostgreSQL, and a table that reveals bad plans.

The table is skewed on purpose. One user's many tasks are adjacent in time, with other users'
before and after. So a plan that scans all users' tasks in creation order is noticed.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tasks_backend.db.statements import Statement
from tasks_backend.tasks import (
    account_statements,
    bulk_statements,
    idempotent_statements,
    list_statements,
    quota_statements,
    statements,
)

LIMIT = 51  # of the default page: one more than is shown
PEOPLE = 200
EACH = 100  # tasks, a third of them completed
LARGE = 20_000
FILL = f"""
SET session_replication_role = replica;
INSERT INTO tasks_backend.users (id) SELECT 'person-' || n FROM generate_series(0, 9999) AS n;
INSERT INTO tasks_backend.users (id) VALUES ('large');
INSERT INTO tasks_backend.tasks (id, user_id, title, description, completed)
SELECT uuidv7(n * interval '1 minute' - interval '1 year'),
    CASE WHEN n BETWEEN {PEOPLE * EACH // 2 + 1} AND {PEOPLE * EACH // 2 + LARGE} THEN 'large'
    ELSE 'person-' || n % {PEOPLE} END,
    'Task number ' || n, 'What there is to say about a task is seldom longer.', n % 3 = 0
FROM generate_series(1, {PEOPLE * EACH + LARGE}) AS n;
INSERT INTO tasks_backend.idempotency_keys
SELECT 'person-' || n % {PEOPLE}, 'key-' || n, repeat('f', 64), gen_random_uuid(),
    gen_random_uuid(), 'Task', NULL, false, 1, now(), now(), now() + n * interval '1 minute'
FROM generate_series(1, 10000) AS n;
SET default_statistics_target = 1000
"""

Values = dict[str, Any]

ANY = {"any_version": True, "versions": []}
IF_MATCH = {"any_version": False, "versions": [1, 2]}
NEW = {"id": str(uuid.UUID(int=0)), "title": "New", "description": None, "completed": False}
PATCH = {
    "set_title": True,
    "set_description": False,
    "set_completed": True,
    "title": "Changed",
    "description": None,
    "completed": True,
}
ONCE = {
    "key": "new",
    "fingerprint": "f" * 64,
    "attempt": str(uuid.UUID(int=0)),
    "ttl": timedelta(days=1),
}


@dataclass(frozen=True)
class Message:
    """A message, with values that depend on the user's tasks, and its limits.

    Each statement may use only these indexes. The blocks are those of tasks, users and keys with
    their indexes, cached or not, also those read by planner, functions and foreign keys.
    Nothing is sorted but the rows of a page with a total. The limits leave room, for example for a page split; the whole table has over 900.
    """

    statement: Statement
    values: Callable[[list[str]], Values]
    indexes: frozenset[str]
    blocks: int
    sorted_rows: int = 0


def of_one(sent: Statement, *indexes: str, blocks: int, **values: Any) -> Message:
    """A message about the task in the middle."""
    return Message(
        sent, lambda own: {"id": own[len(own) // 2], **values}, frozenset(indexes), blocks
    )


def page(
    order: str,
    after: float | None,
    *,
    completed: bool | None = None,
    text: str | None = None,
    total: bool = False,
    limit: int = LIMIT,
    blocks: int,
) -> Message:
    """A page of a list: the first, or the one after this share of all tasks."""

    def values(own: list[str]) -> Values:
        start = None if after is None else own[int(after * len(own))]
        pattern = None if text is None else f"%{text}%"
        return {"after": start, "completed": completed, "pattern": pattern, "limit": limit}

    kind = list_statements.PageForm(order, after is not None, text is not None, total)
    return Message(
        list_statements.PAGES[kind], values, frozenset({"ix_tasks_list"}), blocks, total * LIMIT
    )


def selected(_: list[str]) -> Values:
    """A selection of one task; to find it, all of the user's tasks are read."""
    return {"completed": False, "new_completed": True, "pattern": "%number 10001%"}


KEYS = (
    "pk_idempotency_keys",
    "ix_idempotency_keys_user_id_expires_at",
    "ix_idempotency_keys_expires_at",
)
LIMITS = {"max_tasks": 100_000, "max_keys": 10_000}
MESSAGES = {
    "get": of_one(statements.GET, "pk_tasks", blocks=20),
    "patch": of_one(statements.UPDATE, "pk_tasks", blocks=60, **PATCH, **ANY),
    "patch if it matches": of_one(statements.UPDATE, "pk_tasks", blocks=60, **PATCH, **IF_MATCH),
    "toggle": of_one(statements.TOGGLE, "pk_tasks", blocks=60, **ANY),
    "toggle once": Message(
        idempotent_statements.TOGGLE_IDEMPOTENT.uncounted,
        lambda own: {"id": own[len(own) // 2], **ANY, **ONCE},
        frozenset({"pk_tasks", "ix_tasks_list", "pk_users", *KEYS}),
        blocks=150,
    ),
    "delete": of_one(statements.DELETE, "pk_tasks", blocks=20, **ANY),
    "whose": of_one(statements.TASK_OWNERSHIP, "pk_tasks", blocks=20),
    "create": Message(statements.CREATE, lambda _: NEW, frozenset({"pk_users"}), blocks=60),
    "create once": Message(
        idempotent_statements.CREATE_IDEMPOTENT.uncounted,
        lambda _: {**NEW, **ONCE},
        frozenset({"pk_users", *KEYS}),
        blocks=150,
    ),
    # Counting reads the large user's 20,000 index entries: 120 pages, and their table pages if the
    # table was not vacuumed since.
    "create, counted": Message(
        quota_statements.CREATE_COUNTED,
        lambda _: {**NEW, **LIMITS},
        frozenset({"pk_users", "ix_tasks_list"}),
        blocks=250,
    ),
    "create once, counted": Message(
        idempotent_statements.CREATE_IDEMPOTENT.counted,
        lambda _: {**NEW, **ONCE, **LIMITS},
        frozenset({"pk_users", "ix_tasks_list", *KEYS}),
        blocks=350,
    ),
    "toggle once, counted": Message(
        idempotent_statements.TOGGLE_IDEMPOTENT.counted,
        lambda own: {"id": own[len(own) // 2], **ANY, **ONCE, **LIMITS},
        frozenset({"pk_tasks", "ix_tasks_list", "pk_users", *KEYS}),
        blocks=200,
    ),
    "tasks left": Message(
        quota_statements.TASKS_LEFT, lambda _: LIMITS, frozenset({"ix_tasks_list"}), blocks=250
    ),
    "update all": Message(
        bulk_statements.UPDATE_ALL, selected, frozenset({"ix_tasks_list", "pk_tasks"}), blocks=750
    ),
    "delete all": Message(
        bulk_statements.DELETE_ALL, selected, frozenset({"ix_tasks_list", "pk_tasks"}), blocks=750
    ),
    **{
        f"{verb} all once{', counted' * counted}": Message(
            write[counted],
            lambda own: {**selected(own), **ONCE, **LIMITS},
            frozenset({"ix_tasks_list", "pk_tasks", "pk_users", *KEYS}),
            blocks=750,
        )
        for verb, write in (
            ("update", bulk_statements.UPDATE_ALL_IDEMPOTENT),
            ("delete", bulk_statements.DELETE_ALL_IDEMPOTENT),
        )
        for counted in (False, True)
    },
    "account": Message(
        account_statements.CREATED_AT, lambda _: {}, frozenset({"pk_users"}), blocks=20
    ),
}
PAGES = {
    "newest": page("desc", None, blocks=70),
    "newest, next": page("desc", 0.5, blocks=70),
    "newest, last": page("desc", 0.01, blocks=70),
    "newest open": page("desc", None, completed=False, blocks=120),
    "newest done": page("desc", None, completed=True, blocks=180),
    "oldest": page("asc", None, blocks=70),
    "oldest, next": page("asc", 0.5, blocks=70),
    "oldest, last": page("asc", 0.99, blocks=70),
    "oldest open": page("asc", None, completed=False, blocks=120),
    **{
        f"{order}, {'next' if after else 'first'}, {text}, {total}": page(
            order, after, text=text, total=total, blocks=1300 if text else 250
        )
        for order in ("desc", "asc")
        for after in (None, 0.5)
        for text in (None, "number 10001")
        for total in (False, True)
        if text or total
    },
}
