"""What waits of a memory is found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_PENDING = sa.text("status = 1")


def upgrade() -> None:
    """Index what there is of it."""
    op.create_index(
        "ix_entries_pending",
        "entries",
        ["account_id", "subject", "version"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )


def downgrade() -> None:
    """Look through every version again."""
    op.drop_index("ix_entries_pending", "entries")
