"""What an app has pending, and which apps a developer has, is found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Index what there is of both."""
    op.create_index(
        "ix_access_requests_pending",
        "access_requests",
        ["app_id", "account_id", "request_id"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_index("ix_apps_developer", "apps", ["developer_id"])


def downgrade() -> None:
    """Look through every request and app again."""
    op.drop_index("ix_apps_developer", "apps")
    op.drop_index("ix_access_requests_pending", "access_requests")
