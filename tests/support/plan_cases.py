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
from tasks_backend.tasks import account_statements, statements

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
    The limits leave room, for example for a page split; the whole table has over 900.
    """

    statement: Statement
    values: Callable[[list[str]], Values]
    indexes: frozenset[str]
    blocks: int


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
    limit: int = LIMIT,
    blocks: int,
) -> Message:
    """A page of a list: the first, or the one after this share of all tasks."""

    def values(own: list[str]) -> Values:
        start = None if after is None else own[int(after * len(own))]
        return {"after": start, "completed": completed, "limit": limit}

    pages = statements.FIRST_PAGE if after is None else statements.NEXT_PAGE
    return Message(pages[order], values, frozenset({"ix_tasks_list"}), blocks)


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
        statements.TOGGLE_IDEMPOTENT,
        lambda own: {"id": own[len(own) // 2], **ANY, **ONCE},
        frozenset({"pk_tasks", "ix_tasks_list", "pk_users", *KEYS}),
        blocks=150,
    ),
    "delete": of_one(statements.DELETE, "pk_tasks", blocks=20, **ANY),
    "whose": of_one(statements.TASK_OWNERSHIP, "pk_tasks", blocks=20),
    "create": Message(statements.CREATE, lambda _: NEW, frozenset({"pk_users"}), blocks=60),
    "create once": Message(
        statements.CREATE_IDEMPOTENT,
        lambda _: {**NEW, **ONCE},
        frozenset({"pk_users", *KEYS}),
        blocks=150,
    ),
    # Counting reads the large user's 20,000 index entries: 120 pages, and their table pages if the
    # table was not vacuumed since.
    "create, counted": Message(
        statements.CREATE_COUNTED,
        lambda _: {**NEW, **LIMITS},
        frozenset({"pk_users", "ix_tasks_list"}),
        blocks=250,
    ),
    "create once, counted": Message(
        statements.CREATE_IDEMPOTENT_COUNTED,
        lambda _: {**NEW, **ONCE, **LIMITS},
        frozenset({"pk_users", "ix_tasks_list", *KEYS}),
        blocks=350,
    ),
    "toggle once, counted": Message(
        statements.TOGGLE_IDEMPOTENT_COUNTED,
        lambda own: {"id": own[len(own) // 2], **ANY, **ONCE, **LIMITS},
        frozenset({"pk_tasks", "ix_tasks_list", "pk_users", *KEYS}),
        blocks=200,
    ),
    "tasks left": Message(
        statements.TASKS_LEFT, lambda _: LIMITS, frozenset({"ix_tasks_list"}), blocks=250
    ),
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
}
