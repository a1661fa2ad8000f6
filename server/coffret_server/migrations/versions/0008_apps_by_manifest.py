"""Apps are known by the digest of their manifest, which requests and grants name."""

from collections.abc import Callable
from hashlib import sha256

import sqlalchemy as sa
from alembic import op

from coffret_server.wire.apps import parse_manifest
from coffret_server.wire.identity import keys_hash

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keep the digest where the hash of the keys was."""
    op.execute("ALTER TABLE apps RENAME COLUMN keys_hash TO manifest_digest")
    _fill("manifest_digest", lambda manifest: sha256(manifest).digest())


def downgrade() -> None:
    """Keep the hash of the keys again."""
    op.execute("ALTER TABLE apps RENAME COLUMN manifest_digest TO keys_hash")
    _fill("keys_hash", _keys_hash)


def _keys_hash(manifest: bytes) -> bytes:
    parsed = parse_manifest(manifest)
    return keys_hash(parsed.signing_key, parsed.sealing_key)


def _fill(column: str, made_from: Callable[[bytes], bytes]) -> None:
    """Make a column anew from each app's manifest."""
    apps = sa.table("apps", sa.column("app_id"), sa.column("manifest"), sa.column(column))
    connection = op.get_bind()
    for app_id, manifest in connection.execute(sa.select(apps.c.app_id, apps.c.manifest)).all():
        changed = sa.update(apps).where(apps.c.app_id == app_id)
        connection.execute(changed.values({column: made_from(manifest)}))
