"""The list's own index, and room on a page for changes.

Revision ID: 0002
Revises: 0001

PostgreSQL took the primary key for the order of a list, and walked through everybody's tasks to
find the page of a user with many (decision 0014). The order of this index is one that the primary
key cannot give. Writes wait while it is built, a second or two for a million tasks.

A tenth of each new page of tasks is left free, so that the new version of a row finds room beside
the old one and no index is touched (decision 0015).
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "tasks_backend"


def upgrade() -> None:
    """Build it, drop the one that it replaces, and leave room."""
    newest_first = sa.text("id DESC NULLS LAST")
    op.create_index("ix_tasks_list", "tasks", ["user_id", newest_first], schema=SCHEMA)
    op.drop_index("ix_tasks_user_id_id", "tasks", schema=SCHEMA)
    op.execute(f"ALTER TABLE {SCHEMA}.tasks SET (fillfactor = 90)")


def downgrade() -> None:
    """Bring the former index and pages back."""
    op.execute(f"ALTER TABLE {SCHEMA}.tasks RESET (fillfactor)")
    op.create_index("ix_tasks_user_id_id", "tasks", ["user_id", "id"], schema=SCHEMA)
    op.drop_index("ix_tasks_list", "tasks", schema=SCHEMA)
