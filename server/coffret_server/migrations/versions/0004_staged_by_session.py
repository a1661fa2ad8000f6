"""Wraps that wait for a key change belong to the session that staged them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table anew: a change that was staged before is begun again by its device."""
    op.drop_table("rewraps")
    _make("account_id", "session_id", "memory_id", "key_number")


def downgrade() -> None:
    """Make it as it was."""
    op.drop_table("rewraps")
    _make("account_id", "memory_id", "key_number")


def _make(*key: str) -> None:
    sessions = [sa.Column("session_id", sa.LargeBinary(), nullable=False)]
    op.create_table(
        "rewraps",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        *(sessions if "session_id" in key else ()),
        sa.Column("memory_id", sa.LargeBinary(), nullable=False),
        sa.Column("key_number", sa.BigInteger(), nullable=False),
        sa.Column("change_id", sa.LargeBinary(), nullable=False),
        sa.Column("wrap", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(*key, name="pk_rewraps"),
        sqlite_with_rowid=False,
    )
