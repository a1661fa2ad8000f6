"""What API keys are good for and until when, and failed logins."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_EVERYTHING = "create delete read request update"


def upgrade() -> None:
    """Keys that are there are good for everything, without end."""
    op.add_column(
        "api_keys", sa.Column("scopes", sa.Text(), nullable=False, server_default=_EVERYTHING)
    )
    op.add_column("api_keys", sa.Column("expires", sa.BigInteger(), nullable=True))
    op.create_table(
        "login_failures",
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("whole", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_login_failures"),
    )
    op.create_index("ix_login_failures_whole", "login_failures", ["whole"])


def downgrade() -> None:
    """Forget both."""
    op.drop_table("login_failures")
    with op.batch_alter_table("api_keys") as table:
        table.drop_column("expires")
        table.drop_column("scopes")
