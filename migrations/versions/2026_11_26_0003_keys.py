"""Cheaper idempotency keys, and deletion of all users' expired keys.

Revision ID: 0003
Revises: 0002

`description_in_task` marks the key of a toggle whose long description is not copied but read from
the task. `delete_expired_keys` deletes at most ten expired keys, of any user; every write with a key
calls it (decision 0016). A request may update its own keys, so that an expired key can be reused.

The column has a constant default: the table is not rewritten, and an older release can still insert.
The index is built in this transaction. Meanwhile writes with a key wait, about 1 s for a million
keys; writes without a key do not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "tasks_backend"
KEYS = f"{SCHEMA}.idempotency_keys"
DELETE_EXPIRED = f"{SCHEMA}.delete_expired"
MAY_BE_UPDATED = (
    "fingerprint, attempt, task_id, title, description, description_in_task, completed, version,"
    " created_at, updated_at, expires_at"
)
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
    """Add the column, the index, the policy, the function and the rights to use them."""
    op.add_column(
        "idempotency_keys",
        sa.Column(
            "description_in_task", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"], schema=SCHEMA
    )
    op.execute(
        f"CREATE POLICY expired_keys ON {KEYS} TO CURRENT_USER"
        f" USING (expires_at <= now() AND current_setting('{DELETE_EXPIRED}', true) = 'on')"
    )
    op.execute(DELETE_EXPIRED_KEYS)
    op.execute(f"REVOKE ALL ON FUNCTION {SCHEMA}.delete_expired_keys() FROM PUBLIC")
    for grant in (
        f"GRANT UPDATE ({MAY_BE_UPDATED}) ON {KEYS} TO",
        f"GRANT EXECUTE ON FUNCTION {SCHEMA}.delete_expired_keys() TO",
    ):
        op.execute(APP_ROLES.format(grant=grant))


def downgrade() -> None:
    """Remove all of that. A replayed toggle then shows no long description."""
    op.execute(f"DROP FUNCTION {SCHEMA}.delete_expired_keys()")
    op.execute(f"DROP POLICY expired_keys ON {KEYS}")
    op.execute(APP_ROLES.format(grant=f"REVOKE UPDATE ({MAY_BE_UPDATED}) ON {KEYS} FROM"))
    op.drop_index("ix_idempotency_keys_expires_at", "idempotency_keys", schema=SCHEMA)
    op.drop_column("idempotency_keys", "description_in_task", schema=SCHEMA)
