"""Accounts that were deleted, and what apps had of them."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_OPEN = sa.text("erased IS NULL")


def upgrade() -> None:
    """Begin with none."""
    op.create_table(
        "departures",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("begun", sa.BigInteger(), nullable=False),
        sa.Column("erased", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", name="pk_departures"),
    )
    op.create_index(
        "ix_departures_open", "departures", ["begun"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_table(
        "bygones",
        sa.Column("app_id", sa.LargeBinary(), nullable=False),
        sa.Column("thing_id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "thing_id", name="pk_bygones"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Forget who was deleted; what was being erased stays half erased, and is served to nobody."""
    op.drop_table("bygones")
    op.drop_index("ix_departures_open", "departures")
    op.drop_table("departures")
