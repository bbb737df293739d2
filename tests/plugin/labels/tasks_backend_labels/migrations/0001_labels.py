"""Labels: a name is on a task at most once."""

from alembic import op

from tasks_backend import row_level_security

revision, down_revision = "0001", None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE tasks_backend_labels.labels (
            user_id text NOT NULL REFERENCES tasks_backend.users ON DELETE CASCADE,
            task_id uuid NOT NULL REFERENCES tasks_backend.tasks ON DELETE CASCADE,
            name text NOT NULL,
            PRIMARY KEY (task_id, name)
        )
    """)
    op.execute("CREATE INDEX labels_of_user ON tasks_backend_labels.labels (user_id)")
    op.execute(
        row_level_security("tasks_backend_labels.labels", ["SELECT", "INSERT", "UPDATE", "DELETE"])
    )


def downgrade() -> None:
    op.execute("DROP TABLE tasks_backend_labels.labels")
