"""What an app has pending is found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Index what there is of it."""
    op.create_index(
        "ix_access_requests_pending",
        "access_requests",
        ["app_id", "account_id", "request_id"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )


def downgrade() -> None:
    """Look through every request again."""
    op.drop_index("ix_access_requests_pending", "access_requests")
