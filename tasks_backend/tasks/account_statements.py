"""The SQL for export and erasure of an account, compiled at import like that of tasks."""

from sqlalchemy import (
    BigInteger,
    Text,
    bindparam,
    cast,
    column,
    delete,
    func,
    literal_column,
    select,
    table,
    text,
    true,
)
from sqlmodel import col

from tasks_backend.db.statements import SCHEMA, Statement, statement
from tasks_backend.tasks.models import IdempotencyKey, Task, User
from tasks_backend.tasks.quota_statements import lock_user
from tasks_backend.tasks.statements import USER_ID

CREATED_AT = statement(select(col(User.created_at)).where(col(User.id) == USER_ID), idempotent=True)

# As the user: row-level security limits it to their own rows. Rows that are added meanwhile, and those
# of plugins, are deleted by the foreign keys' cascade. The lock order is the same everywhere: tasks,
# keys, user. A bulk change locks its key first, so the user's lock separates the two.

_COUNT = bindparam("count", f"{SCHEMA}.erased_tasks", type_=Text)

_erased = delete(Task).where(col(Task.user_id) == USER_ID).returning(col(Task.id)).cte("erased")

ERASE = statement(
    lock_user,
    select(
        func.set_config(
            _COUNT,
            cast(select(func.count()).select_from(_erased).scalar_subquery(), Text),
            true(),
        )
    ),
    delete(IdempotencyKey).where(col(IdempotencyKey.user_id) == USER_ID),
    delete(User)
    .where(col(User.id) == USER_ID)
    .returning(cast(func.current_setting(_COUNT), BigInteger)),
    idempotent=False,
)
"""Returns the number of deleted tasks, or no row if there is no such user."""

PLUGIN_SCHEMA_PREFIX = f"{SCHEMA}_"
PLUGIN_TABLES = statement(
    text(f"""
        SELECT nspname, relname FROM pg_class
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'user_id'
        WHERE relkind IN ('r', 'p') AND starts_with(nspname, '{PLUGIN_SCHEMA_PREFIX}')
        AND has_schema_privilege(relnamespace, 'USAGE')
        AND has_table_privilege(pg_class.oid, 'SELECT')
        ORDER BY nspname, relname
    """),  # noqa: S608 - a name of ours
    idempotent=True,
)
"""The plugins' tables, enabled or not, that have a `user_id` and that a request may read."""


def user_rows(schema: str, name: str) -> Statement:
    """Return the statement that reads a user's rows of a plugin's table, each as JSON text."""
    found = table(name, column("user_id"), schema=schema).alias("found")
    row = func.to_jsonb(literal_column("found")).op("-")(literal_column("'user_id'"))
    own = select(cast(row, Text)).select_from(found).where(found.c.user_id == USER_ID)
    return statement(own.order_by(literal_column("found.ctid")), idempotent=True)
