"""Cheaper idempotency keys, and deletion of all users' expired keys.

Revision ID: 0003
Revises: 0002

`description_in_task` marks the key of a toggle whose long description is not copied but read from
the task. `delete_expired_keys` deletes at most ten expired keys, of any user; every write with a key
calls it (decision 0016). `migrate` makes the rights and the policy for it (revision 0001).

The column has a constant default: the table is not rewritten, and an older release can still insert.
The index is built concurrently, so no request waits.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "tasks_backend"
KEYS = f"{SCHEMA}.idempotency_keys"
INDEX = "ix_idempotency_keys_expires_at"
DELETE_EXPIRED = f"{SCHEMA}.delete_expired"

# Like `task_is_foreign` (revision 0001): it runs as the tables' owner, and only the owner's policy
# reads the setting, which only this function sets. The policy shows only expired keys: even a defect
# in the function could not delete another user's valid key, if policies restrict the owner.
# It skips rows locked by other transactions, so it never waits. The planner settings force the index
# on `expires_at`, independent of the statistics.
DELETE_EXPIRED_KEYS = f"""
CREATE FUNCTION {SCHEMA}.delete_expired_keys() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
BEGIN
    PERFORM set_config('{DELETE_EXPIRED}', 'on', true);
    DELETE FROM {KEYS} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {KEYS} WHERE expires_at <= now()
        ORDER BY expires_at LIMIT 10 FOR UPDATE SKIP LOCKED
    ));
    PERFORM set_config('{DELETE_EXPIRED}', 'off', true);
END
$$
"""


def upgrade() -> None:
    """Add the index, the column and the function."""
    with op.get_context().autocommit_block():
        drop_index()  # an interrupted attempt leaves it, invalid
        op.create_index(
            INDEX, "idempotency_keys", ["expires_at"], schema=SCHEMA, postgresql_concurrently=True
        )
    op.add_column(
        "idempotency_keys",
        sa.Column(
            "description_in_task", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        schema=SCHEMA,
    )
    op.execute(DELETE_EXPIRED_KEYS)
    op.execute(f"REVOKE ALL ON FUNCTION {SCHEMA}.delete_expired_keys() FROM PUBLIC")


def downgrade() -> None:
    """Lose long descriptions in the stored answers of toggles. Tasks themselves are kept."""
    with op.get_context().autocommit_block():
        drop_index()
    op.execute(f"DROP POLICY IF EXISTS expired_keys ON {KEYS}")
    op.execute(f"DROP FUNCTION {SCHEMA}.delete_expired_keys()")
    op.drop_column("idempotency_keys", "description_in_task", schema=SCHEMA)


def drop_index() -> None:
    """Drop the index, valid or not."""
    op.drop_index(INDEX, schema=SCHEMA, if_exists=True, postgresql_concurrently=True)
