"""Create a table, then fail: the table must not remain."""

from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    op.execute("CREATE TABLE tasks_backend_failing_migration.half (id int)")
    op.execute("CREATE TABLE tasks_backend_failing_migration.other (id no_such_type)")


def downgrade() -> None:
    op.execute("DROP TABLE tasks_backend_failing_migration.half")
