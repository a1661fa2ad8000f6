"""The last settings of a vault are found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SETTINGS = sa.text("kind = 'settings'")


def upgrade() -> None:
    """Index what there is of them."""
    op.create_index(
        "ix_entries_settings",
        "entries",
        ["account_id", "version"],
        sqlite_where=_SETTINGS,
        postgresql_where=_SETTINGS,
    )


def downgrade() -> None:
    """Look through the whole log again."""
    op.drop_index("ix_entries_settings", "entries")
