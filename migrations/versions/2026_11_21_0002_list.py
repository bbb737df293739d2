"""An index for the list, and free space on table pages for updates.

Revision ID: 0002
Revises: 0001

PostgreSQL used the primary key for the order of a list and scanned all users' tasks to find the page
of a user with many (decision 0014). The primary key cannot provide the order of this index. Writes
wait while it is built: 1 to 2 s for a million tasks.

A tenth of each new page of tasks stays free: the new version of a row fits on the same page, and no
index is updated (decision 0015).
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "tasks_backend"


def upgrade() -> None:
    """Create the index, drop the one that it replaces, and reserve free space."""
    newest_first = sa.text("id DESC NULLS LAST")
    op.create_index("ix_tasks_list", "tasks", ["user_id", newest_first], schema=SCHEMA)
    op.drop_index("ix_tasks_user_id_id", "tasks", schema=SCHEMA)
    op.execute(f"ALTER TABLE {SCHEMA}.tasks SET (fillfactor = 90)")


def downgrade() -> None:
    """Restore the former index and page layout."""
    op.execute(f"ALTER TABLE {SCHEMA}.tasks RESET (fillfactor)")
    op.create_index("ix_tasks_user_id_id", "tasks", ["user_id", "id"], schema=SCHEMA)
    op.drop_index("ix_tasks_list", "tasks", schema=SCHEMA)
