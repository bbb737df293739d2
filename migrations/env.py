"""Alembic's environment. It handles only the service's schema, never Better Auth's tables.

It also runs a plugin's revisions, in the plugin's schema; the service has no models of its tables.
"""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection
from sqlmodel.sql.sqltypes import AutoString

from tasks_backend.db import migrations
from tasks_backend.db.statements import SCHEMA
from tasks_backend.settings import DatabaseSettings, load
from tasks_backend.tasks.models import Table


def own_schema_only(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "schema" or name == SCHEMA


def render(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Render SQLModel's string type as `sa.String`, so that migrations import only SQLAlchemy."""
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})"
    return False


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        version_table_schema=context.config.attributes.get("schema", SCHEMA),
        include_schemas=True,
        include_name=own_schema_only,
        render_item=render,
    )
    with context.begin_transaction():
        context.run_migrations()
        context.config.attributes.get("finish", lambda: None)()


given: Connection | None = context.config.attributes.get("connection")
if context.is_offline_mode():  # `alembic upgrade --sql`, and the test of the rules
    context.configure(dialect_name="postgresql", version_table_schema=SCHEMA)
    with context.begin_transaction():
        context.run_migrations()
elif given is not None:
    run(given)
else:  # a developer runs `alembic revision --autogenerate`
    with migrations.engine(load(DatabaseSettings).migration_url).connect() as connection:
        run(connection)
