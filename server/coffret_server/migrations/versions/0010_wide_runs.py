"""The hash of each wide run of leaves is kept too."""

from hashlib import sha256

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_WIDE = 256
_FULL = sa.text(
    "SELECT account_id, size / :leaves FROM logs WHERE size >= :leaves ORDER BY account_id"
)
_RUNS = sa.text(
    "SELECT hash FROM tiles WHERE account_id = :account AND idx >= :first AND idx < :last"
    " ORDER BY idx"
)
_ADD = sa.text("INSERT INTO tiles (account_id, idx, hash) VALUES (:account, :idx, :hash)")


def upgrade() -> None:
    """Make those that there are from the runs they are of."""
    connection = op.get_bind()
    for account, count in connection.execute(_FULL, {"leaves": _WIDE * _WIDE}).all():
        for index in range(count):
            place = {"account": account, "first": index * _WIDE, "last": (index + 1) * _WIDE}
            hashes = [bytes(row[0]) for row in connection.execute(_RUNS, place)]
            connection.execute(_ADD, {"account": account, "idx": -1 - index, "hash": _root(hashes)})


def _root(hashes: list[bytes]) -> bytes:
    """The root over as many subtrees as a wide run has."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return hashes[0]


def downgrade() -> None:
    """Keep those of runs alone."""
    op.execute("DELETE FROM tiles WHERE idx < 0")
