"""Tables, and the function that tells 403 from 404.

Revision ID: 0001
Revises:

The role, its rights and the policies are no revision: a dump may lose them, so each `migrate` makes
or mends them (`tasks_backend/db/rights_statements.py`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "tasks_backend"
CALLER = "current_setting('app.user_id', true)"
OWNER_CHECK = "tasks_backend.owner_check"

# The only query about other users' rows: whether another user owns a task id. The function runs as
# the tables' owner. Only the owner has a policy that reads the setting. The body sets and resets it,
# because only a superuser may attach such a setting to a function.
TASK_IS_FOREIGN = f"""
CREATE FUNCTION {SCHEMA}.task_is_foreign(task_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_foreign boolean;
BEGIN
    PERFORM set_config('{OWNER_CHECK}', 'on', true);
    is_foreign := EXISTS (
        SELECT FROM {SCHEMA}.tasks WHERE id = task_id AND user_id <> {CALLER}
    );
    PERFORM set_config('{OWNER_CHECK}', 'off', true);
    RETURN is_foreign;
END
$$
"""


def upgrade() -> None:
    now = sa.text("now()")
    owner = f"{SCHEMA}.users.id"
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.CheckConstraint("char_length(id) BETWEEN 1 AND 255", name="ck_users_id_length"),
        schema=SCHEMA,
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("completed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        sa.ForeignKeyConstraint(["user_id"], [owner], name="fk_tasks_user_id", ondelete="CASCADE"),
        sa.CheckConstraint(
            "char_length(title) BETWEEN 1 AND 200 AND btrim(title) <> ''", name="ck_tasks_title"
        ),
        sa.CheckConstraint("char_length(description) <= 10000", name="ck_tasks_description"),
        sa.CheckConstraint("version >= 1", name="ck_tasks_version"),
        schema=SCHEMA,
    )
    op.create_index("ix_tasks_user_id_id", "tasks", ["user_id", "id"], schema=SCHEMA)
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("completed", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name="pk_idempotency_keys"),
        sa.ForeignKeyConstraint(
            ["user_id"], [owner], name="fk_idempotency_keys_user_id", ondelete="CASCADE"
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_idempotency_keys_user_id_expires_at",
        "idempotency_keys",
        ["user_id", "expires_at"],
        schema=SCHEMA,
    )
    for table in ("users", "tasks", "idempotency_keys"):
        op.execute(f"ALTER TABLE {SCHEMA}.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {SCHEMA}.{table} FORCE ROW LEVEL SECURITY")
    op.execute(TASK_IS_FOREIGN)
    op.execute(f"REVOKE ALL ON FUNCTION {SCHEMA}.task_is_foreign(uuid) FROM PUBLIC")


def downgrade() -> None:
    """Remove all tables with all rows, but not the role, which other databases may use."""
    op.execute(f"DROP FUNCTION {SCHEMA}.task_is_foreign(uuid)")
    for table in ("idempotency_keys", "tasks", "users"):
        op.drop_table(table, schema=SCHEMA)
