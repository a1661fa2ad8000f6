"""What grants take up is counted; apps that are known, and lists of requests, are found at once."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_BESIDE = (
    "250 * (SELECT COUNT(*) FROM grant_wraps w WHERE w.account_id = logs.account_id)"
    " + COALESCE((SELECT SUM(LENGTH(g.statement) + LENGTH(g.sealed_key) + LENGTH(r.request))"
    " FROM grants g JOIN access_requests r"
    " ON r.account_id = g.account_id AND r.request_id = g.request_id"
    " WHERE g.account_id = logs.account_id), 0)"
)


_LISTED = ["account_id", "created", "request_id", "state", "app_id", "grant_id"]
_BY_APP = ["app_id", "created", "request_id", "state", "account_id"]


def upgrade() -> None:
    """Index grants by their apps, and what lists of requests go by; count what grants take up."""
    op.create_index("ix_access_requests_listed", "access_requests", _LISTED)
    op.create_index("ix_access_requests_by_app", "access_requests", _BY_APP)
    op.drop_index("ix_access_requests_created", "access_requests")
    op.drop_index("ix_access_requests_app", "access_requests")
    op.create_index("ix_grants_known", "grants", ["account_id", "app_id"])
    op.execute(f"UPDATE logs SET bytes = bytes + {_BESIDE}")  # noqa: S608 - our own words


def downgrade() -> None:
    """Read through all of them again, and count records alone."""
    op.execute(f"UPDATE logs SET bytes = bytes - ({_BESIDE})")  # noqa: S608 - our own words
    op.drop_index("ix_grants_known", "grants")
    op.create_index("ix_access_requests_app", "access_requests", ["app_id"])
    op.create_index("ix_access_requests_created", "access_requests", ["account_id", "created"])
    op.drop_index("ix_access_requests_by_app", "access_requests")
    op.drop_index("ix_access_requests_listed", "access_requests")
