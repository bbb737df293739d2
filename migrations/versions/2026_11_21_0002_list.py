"""An index for the list, and free space on table pages for updates.

Revision ID: 0002
Revises: 0001

PostgreSQL used the primary key for the order of a list and scanned all users' tasks to find the page
of a user with many (decision 0014). The primary key cannot provide the order of this index. Indexes are
made and dropped concurrently, so no request waits.

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
    replace_index("ix_tasks_list", ["user_id", newest_first], former="ix_tasks_user_id_id")
    op.execute(f"ALTER TABLE {SCHEMA}.tasks SET (fillfactor = 90)")


def downgrade() -> None:
    """Slow down the lists of users with many tasks, and changes of tasks. No data is lost."""
    op.execute(f"ALTER TABLE {SCHEMA}.tasks RESET (fillfactor)")
    replace_index("ix_tasks_user_id_id", ["user_id", "id"], former="ix_tasks_list")


def replace_index(name: str, columns: list[str | sa.TextClause], *, former: str) -> None:
    """Make an index of tasks, then drop the former one. An interrupted attempt is made again."""
    with op.get_context().autocommit_block():
        drop_index(name)  # an interrupted attempt leaves it, invalid
        op.create_index(name, "tasks", columns, schema=SCHEMA, postgresql_concurrently=True)
        drop_index(former)


def drop_index(name: str) -> None:
    """Drop an index, valid or not."""
    op.drop_index(name, schema=SCHEMA, if_exists=True, postgresql_concurrently=True)
