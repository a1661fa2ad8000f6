"""What waits under each grant is counted; what was rejected is erased, and counts no more."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SIZE = "COALESCE(SUM(LENGTH(e.record)), 0)"
_WAITING = (
    f"SELECT e.account_id, e.grant_id, COUNT(*), {_SIZE} FROM entries e"  # noqa: S608 - a constant
    " JOIN memories m ON m.account_id = e.account_id AND m.memory_id = e.subject"
    " WHERE e.status = 1 AND e.grant_id IS NOT NULL AND m.deleted = 0"
    " GROUP BY e.account_id, e.grant_id"
)
_REJECTED = "FROM entries e WHERE e.account_id = logs.account_id AND e.status = 2"
_UNLISTED = (
    "FROM memories m WHERE m.account_id = logs.account_id AND m.deleted = 0 AND m.list_seq IS NULL"
)


def upgrade() -> None:
    """Count what waits and erase what was rejected."""
    op.create_table(
        "waiting",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("grant_id", sa.LargeBinary(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "grant_id", name="pk_waiting"),
        sqlite_with_rowid=False,
    )
    for statement in (
        f"INSERT INTO waiting (account_id, grant_id, entries, bytes) {_WAITING}",
        f"UPDATE logs SET bytes = bytes - (SELECT {_SIZE} {_REJECTED})",  # noqa: S608
        f"UPDATE logs SET memories = memories - (SELECT COUNT(*) {_UNLISTED})",  # noqa: S608
    ):
        op.execute(statement)
    op.execute("UPDATE entries SET record = NULL WHERE status = 2")


def downgrade() -> None:
    """Count no more; what was erased is gone, and stays uncounted."""
    op.drop_table("waiting")
