"""The leases of plugins' jobs: each job runs once per deployment (decision 0023).

Revision ID: 0005
Revises: 0004

The table is new, so no request waits. An older release does not read it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "tasks_backend"


def upgrade() -> None:
    """Add the table. `migrate` makes its rights and its policy (revision 0001)."""
    op.create_table(
        "jobs",
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text()),
        sa.Column("held_until", sa.DateTime(timezone=True)),
        sa.Column("next_run_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("plugin", "name", name="pk_jobs"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Remove when each plugin's job runs next: all of them run at the next start."""
    op.drop_table("jobs", schema=SCHEMA)
