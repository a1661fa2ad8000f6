"""Which apps an owner granted something is found without what was granted."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index an owner's grants by their apps."""
    op.create_index("ix_grants_known", "grants", ["account_id", "app_id"])


def downgrade() -> None:
    """Read through all of them again."""
    op.drop_index("ix_grants_known", "grants")
