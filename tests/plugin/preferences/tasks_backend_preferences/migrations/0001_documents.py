"""One document for each user."""

from alembic import op

from tasks_backend import row_level_security

revision, down_revision = "0001", None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE tasks_backend_preferences.documents (
            user_id text PRIMARY KEY REFERENCES tasks_backend.users ON DELETE CASCADE,
            document jsonb NOT NULL,
            version bigint NOT NULL DEFAULT 1
        )
    """)
    op.execute(
        row_level_security("tasks_backend_preferences.documents", ["SELECT", "INSERT", "UPDATE"])
    )


def downgrade() -> None:
    op.execute("DROP TABLE tasks_backend_preferences.documents")
