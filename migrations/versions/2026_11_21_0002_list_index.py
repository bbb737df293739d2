"""The list's own index.

Revision ID: 0002
Revises: 0001

PostgreSQL took the primary key for the order of a list, and walked through everybody's tasks to
find the page of a user with many (decision 0014). The order of this index is one that the primary
key cannot give. Writes wait while it is built, a second or two for a million tasks.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "tasks_backend"


def upgrade() -> None:
    """Build it, and drop the one that it replaces."""
    newest_first = sa.text("id DESC NULLS LAST")
    op.create_index("ix_tasks_list", "tasks", ["user_id", newest_first], schema=SCHEMA)
    op.drop_index("ix_tasks_user_id_id", "tasks", schema=SCHEMA)


def downgrade() -> None:
    """Bring the former one back."""
    op.create_index("ix_tasks_user_id_id", "tasks", ["user_id", "id"], schema=SCHEMA)
    op.drop_index("ix_tasks_list", "tasks", schema=SCHEMA)
