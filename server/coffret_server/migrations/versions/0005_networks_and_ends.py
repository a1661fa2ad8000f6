"""The network that a session was opened from, and indexes by which what is old is found."""

from ipaddress import ip_address, ip_network

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SUBSCRIBER = 64


def upgrade() -> None:
    """Addresses are known by their networks from now on."""
    op.add_column("sessions", sa.Column("network", sa.Text(), nullable=False, server_default=""))
    found = op.get_bind().execute(sa.text("SELECT DISTINCT address FROM sessions")).scalars()
    change = sa.text("UPDATE sessions SET network = :network WHERE address = :address")
    for address in found.all():
        op.get_bind().execute(change, {"network": _network(address), "address": address})
    op.create_index("ix_sessions_expires", "sessions", ["expires"])
    op.create_index("ix_sessions_network", "sessions", ["account_id", "network", "expires"])
    op.create_index("ix_used_nonces_expires", "used_nonces", ["expires"])
    op.create_index("ix_access_requests_created", "access_requests", ["account_id", "created"])


def downgrade() -> None:
    """Know whole addresses again."""
    op.drop_index("ix_access_requests_created", "access_requests")
    op.drop_index("ix_used_nonces_expires", "used_nonces")
    op.drop_index("ix_sessions_network", "sessions")
    op.drop_index("ix_sessions_expires", "sessions")
    with op.batch_alter_table("sessions") as table:
        table.drop_column("network")


def _network(address: str) -> str:
    """As `coffret_server.limits.network` was when this was written."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    mapped = getattr(found, "ipv4_mapped", None)
    if found.version == 4 or mapped is not None:  # noqa: PLR2004 - the version of IP
        return str(mapped or found)
    return str(ip_network((int(found), _SUBSCRIBER), strict=False))
