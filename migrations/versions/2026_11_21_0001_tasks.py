"""Tables, roles and policies.

Revision ID: 0001
Revises:

Row-level security is the second protection: it excludes other users' rows from a statement without
an owner condition. It needs a role that cannot bypass it. For a login that may create roles (a
superuser, Neon's owner), this migration creates and grants `tasks_app`. A plain owner is restricted
by the policies itself, because they are forced on the table's owner too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "tasks_backend"
APP_ROLE = "tasks_app"
CALLER = "current_setting('app.user_id', true)"
OWNER_CHECK = "tasks_backend.owner_check"

# Roles belong to the cluster. Another database's migration may create the same role at the same time.
# If another login owns the role and does not share it, this database gets a role with its number.
MAKE_ROLE = f"""
DO $$
DECLARE
    login pg_roles := (SELECT r FROM pg_roles AS r WHERE r.rolname = current_user);
    candidate text;
BEGIN
    FOREACH candidate IN ARRAY ARRAY['{APP_ROLE}', '{APP_ROLE}_' || (
        SELECT oid FROM pg_database WHERE datname = current_database()
    )] LOOP
        IF to_regrole(candidate) IS NULL AND (login.rolsuper OR login.rolcreaterole) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', candidate);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        EXIT WHEN login.rolsuper;
        BEGIN
            EXECUTE format('GRANT %I TO CURRENT_USER', candidate);
        EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
            NULL;
        END;
        EXIT WHEN pg_has_role(to_regrole(candidate)::oid, 'MEMBER');
    END LOOP;
    IF login.rolbypassrls AND NOT login.rolsuper
        AND pg_has_role(to_regrole(candidate)::oid, 'MEMBER') IS NOT TRUE THEN
        RAISE EXCEPTION 'this login sees past row-level security; have an administrator run:'
            ' CREATE ROLE {APP_ROLE} NOLOGIN; GRANT {APP_ROLE} TO %', quote_ident(current_user);
    END IF;
END
$$
"""

GRANTS = f"""
DO $$
DECLARE
    app text;
BEGIN
    FOR app IN SELECT quote_ident(rolname) FROM pg_roles WHERE rolname IN (
        '{APP_ROLE}',
        '{APP_ROLE}_' || (SELECT oid FROM pg_database WHERE datname = current_database())
    ) LOOP
        EXECUTE 'GRANT USAGE ON SCHEMA {SCHEMA} TO ' || app;
        EXECUTE 'GRANT SELECT ON {SCHEMA}.alembic_version TO ' || app;
        EXECUTE 'GRANT SELECT, INSERT ON {SCHEMA}.users TO ' || app;
        EXECUTE 'GRANT SELECT, INSERT, DELETE ON {SCHEMA}.tasks TO ' || app;
        EXECUTE 'GRANT UPDATE (title, description, completed, version, updated_at)'
            ' ON {SCHEMA}.tasks TO ' || app;
        EXECUTE 'GRANT SELECT, INSERT, DELETE ON {SCHEMA}.idempotency_keys TO ' || app;
        EXECUTE 'GRANT EXECUTE ON FUNCTION {SCHEMA}.task_is_foreign(uuid) TO ' || app;
    END LOOP;
END
$$
"""

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
    op.execute(MAKE_ROLE)
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
    for table, owner_column in (
        ("users", "id"),
        ("tasks", "user_id"),
        ("idempotency_keys", "user_id"),
    ):
        op.execute(f"ALTER TABLE {SCHEMA}.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {SCHEMA}.{table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_rows ON {SCHEMA}.{table} USING ({owner_column} = {CALLER})")
    op.execute(
        f"CREATE POLICY owner_check ON {SCHEMA}.tasks FOR SELECT TO CURRENT_USER"
        f" USING (current_setting('{OWNER_CHECK}', true) = 'on')"
    )
    op.execute(TASK_IS_FOREIGN)
    op.execute(f"REVOKE ALL ON FUNCTION {SCHEMA}.task_is_foreign(uuid) FROM PUBLIC")
    op.execute(GRANTS)


def downgrade() -> None:
    """Remove everything except the role, which other databases of the cluster may use."""
    op.execute(f"DROP FUNCTION {SCHEMA}.task_is_foreign(uuid)")
    for table in ("idempotency_keys", "tasks", "users"):
        op.drop_table(table, schema=SCHEMA)
