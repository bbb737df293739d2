"""Idempotency keys of plugins' writes: the row that the write returned.

Revision ID: 0006
Revises: 0005

Nothing is rewritten or scanned: the column is nullable and has no default. An older release still works; it does not
know the column.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "tasks_backend"
KEYS = f"{SCHEMA}.idempotency_keys"


def upgrade() -> None:
    """Add the column."""
    op.add_column("idempotency_keys", sa.Column("response", JSONB()), schema=SCHEMA)


def downgrade() -> None:
    """Remove the keys of plugins' writes: a repetition writes again."""
    op.execute(f"ALTER TABLE {KEYS} NO FORCE ROW LEVEL SECURITY")  # the owner must see all keys
    op.execute(f"DELETE FROM {KEYS} WHERE response IS NOT NULL")
    op.execute(f"ALTER TABLE {KEYS} FORCE ROW LEVEL SECURITY")
    op.drop_column("idempotency_keys", "response", schema=SCHEMA)
