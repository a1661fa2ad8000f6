"""A session has a name, sealed by the device that it is of."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Those that are there have none."""
    op.add_column("sessions", sa.Column("name", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    """Forget the names."""
    op.drop_column("sessions", "name")
