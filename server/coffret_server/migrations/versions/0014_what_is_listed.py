"""What waits for an owner, and the newest grants, are found without what they are of."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Index what waits by its owner, and grants by when they were made."""
    op.create_index(
        "ix_access_requests_waiting",
        "access_requests",
        ["account_id", "created", "app_id", "state"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_index("ix_grants_created", "grants", ["account_id", "created", "grant_id"])
    op.create_index("ix_grants_by_app", "grants", ["app_id", "created", "grant_id"])
    op.drop_index("ix_grants_app", "grants")


def downgrade() -> None:
    """Read through all of them again."""
    op.create_index("ix_grants_app", "grants", ["app_id"])
    op.drop_index("ix_grants_by_app", "grants")
    op.drop_index("ix_grants_created", "grants")
    op.drop_index("ix_access_requests_waiting", "access_requests")
