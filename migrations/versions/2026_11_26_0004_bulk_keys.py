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


def upgrade() -> None:
    """Add the count, and make the columns of a task nullable."""
    op.add_column("idempotency_keys", sa.Column("count", sa.BigInteger()), schema=SCHEMA)
    for column in OF_A_TASK:
        op.alter_column("idempotency_keys", column, nullable=True, schema=SCHEMA)


def downgrade() -> None:
    """Remove the count, and the keys of bulk changes with it: a repetition changes tasks again."""
    op.execute(f"ALTER TABLE {KEYS} NO FORCE ROW LEVEL SECURITY")  # the owner must see all keys
    op.execute(f"DELETE FROM {KEYS} WHERE task_id IS NULL")
    op.execute(f"ALTER TABLE {KEYS} FORCE ROW LEVEL SECURITY")
    op.drop_column("idempotency_keys", "count", schema=SCHEMA)
    for column in OF_A_TASK:
        op.alter_column("idempotency_keys", column, nullable=False, schema=SCHEMA)
