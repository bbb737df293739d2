"""Idempotency keys that cost little and expire for everybody.

Revision ID: 0003
Revises: 0002

`description_in_task` marks the key of a toggle whose long description is not copied: it is read
from the task. `delete_expired_keys` deletes at most ten expired keys, of any user; every write with
a key calls it (decision 0016). A request may update its own keys, so that an expired key can be
used again.

The column has a constant default, so the table is not rewritten, and a release that does not know
it can still insert. The index is built in this transaction: writes with a key wait meanwhile, about
a second for a million keys; writes without one do not.
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

# As `task_is_foreign` (revision 0001): it runs as the tables' owner, for whom alone a policy looks at
# a setting that only the function turns on. The policy shows expired keys and no others: an owner who
# is bound by policies could not delete a valid key of another user even by a defect in the function.
# Rows that another transaction has locked are skipped, so it never waits. The planner settings keep
# it to the index on `expires_at` whatever the statistics say.
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
    """Remove all of that. A toggle that is repeated then shows no long description."""
    op.execute(f"DROP FUNCTION {SCHEMA}.delete_expired_keys()")
    op.execute(f"DROP POLICY expired_keys ON {KEYS}")
    op.execute(APP_ROLES.format(grant=f"REVOKE UPDATE ({MAY_BE_UPDATED}) ON {KEYS} FROM"))
    op.drop_index("ix_idempotency_keys_expires_at", "idempotency_keys", schema=SCHEMA)
    op.drop_column("idempotency_keys", "description_in_task", schema=SCHEMA)
