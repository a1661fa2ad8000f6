"""Key changes: account cards of before, and wraps that wait for a change."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "rewraps",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("memory_id", sa.LargeBinary(), nullable=False),
        sa.Column("key_number", sa.BigInteger(), nullable=False),
        sa.Column("change_id", sa.LargeBinary(), nullable=False),
        sa.Column("wrap", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "memory_id", "key_number", name="pk_rewraps"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "successions",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("succession", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("card", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "generation", name="pk_successions"),
    )


def downgrade() -> None:
    """Drop the two tables."""
    op.drop_table("successions")
    op.drop_table("rewraps")
