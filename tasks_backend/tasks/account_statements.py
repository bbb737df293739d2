"""The SQL of a user's whole account, compiled at import like that of tasks."""

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
from tasks_backend.tasks.statements import USER_ID

CREATED_AT = statement(select(col(User.created_at)).where(col(User.id) == USER_ID), idempotent=True)

# Tasks and keys go as the user, whom row-level security holds to their own rows. Only the owner of
# the tables may delete a user, so for that last row the message becomes the login again; what has
# been added since goes by the foreign keys' cascade. Tasks are locked before keys, and both before the
# user, as everywhere.

_COUNT = bindparam("count", "tasks_backend.erased_tasks", type_=Text)

_erased = delete(Task).where(col(Task.user_id) == USER_ID).returning(col(Task.id)).cte("erased")

ERASE = statement(
    select(
        func.set_config(
            _COUNT,
            cast(select(func.count()).select_from(_erased).scalar_subquery(), Text),
            true(),
        )
    ),
    delete(IdempotencyKey).where(col(IdempotencyKey.user_id) == USER_ID),
    select(
        func.set_config(
            bindparam("role_setting", "role", type_=Text),
            bindparam("login", "none", type_=Text),
            true(),
        )
    ),
    delete(User)
    .where(col(User.id) == USER_ID)
    .returning(cast(func.current_setting(_COUNT), BigInteger)),
    idempotent=False,
)
"""Returns how many tasks went, or no row if there is no such user."""

PLUGINS = f"{SCHEMA}_"
PLUGIN_TABLES = statement(
    text(f"""
        SELECT nspname, relname FROM pg_class
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'user_id'
        WHERE relkind IN ('r', 'p') AND starts_with(nspname, '{PLUGINS}')
        AND has_schema_privilege(relnamespace, 'USAGE')
        AND has_table_privilege(pg_class.oid, 'SELECT')
        ORDER BY nspname, relname
    """),  # noqa: S608 - a name of ours
    idempotent=True,
)
"""The tables of plugins, enabled or not, that have rows of users which a request may read."""


def rows_of(schema: str, name: str) -> Statement:
    """Return the statement for a user's rows of such a table, each as JSON text."""
    found = table(name, column("user_id"), schema=schema).alias("found")
    row = func.to_jsonb(literal_column("found")).op("-")(literal_column("'user_id'"))
    own = select(cast(row, Text)).select_from(found).where(found.c.user_id == USER_ID)
    return statement(own.order_by(literal_column("found.ctid")), idempotent=True)
