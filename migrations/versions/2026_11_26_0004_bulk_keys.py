"""Idempotency keys of bulk changes: a count instead of a task.

Revision ID: 0004
Revises: 0003

Nothing is rewritten or scanned: the column has no default, and the other columns only lose their
NOT NULL. An older release still works; it never reads the key of a bulk change as a task, because the
fingerprint differs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "tasks_backend"
KEYS = f"{SCHEMA}.idempotency_keys"
OF_A_TASK = ("task_id", "title", "completed", "version", "created_at", "updated_at")
APP_ROLES = """
DO $$
DECLARE
    app text;
BEGIN
    FOR app IN SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN (
        'tasks_app',
        'tasks_app_' || (SELECT oid FROM pg_database WHERE datname = current_database())
    ) LOOP
        EXECUTE '{grant} ' || app;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Add the count, and make the columns of a task nullable."""
    op.add_column("idempotency_keys", sa.Column("count", sa.BigInteger()), schema=SCHEMA)
    for column in OF_A_TASK:
        op.alter_column("idempotency_keys", column, nullable=True, schema=SCHEMA)
    op.execute(APP_ROLES.format(grant=f"GRANT UPDATE (count) ON {KEYS} TO"))


def downgrade() -> None:
    """Remove the count, and the keys of bulk changes with it."""
    op.execute(f"DELETE FROM {KEYS} WHERE task_id IS NULL")
    op.drop_column("idempotency_keys", "count", schema=SCHEMA)
    for column in OF_A_TASK:
        op.alter_column("idempotency_keys", column, nullable=False, schema=SCHEMA)
