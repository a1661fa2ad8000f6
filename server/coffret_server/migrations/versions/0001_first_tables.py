"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    _access_requests()
    _accounts()
    _api_keys()
    _apps()
    _developers()
    _entries()
    _grant_wraps()
    _grants()
    _idempotency()
    _keyslots()
    _logs()
    _memories()
    _memory_tags()
    _sessions()
    _settings()
    _tiles()
    _used_nonces()


def downgrade() -> None:
    """Drop every table."""
    op.drop_table("used_nonces")
    op.drop_table("tiles")
    op.drop_table("settings")
    op.drop_table("sessions")
    op.drop_table("memory_tags")
    op.drop_table("memories")
    op.drop_table("logs")
    op.drop_table("keyslots")
    op.drop_table("idempotency")
    op.drop_table("grants")
    op.drop_table("grant_wraps")
    op.drop_table("entries")
    op.drop_table("developers")
    op.drop_table("apps")
    op.drop_table("api_keys")
    op.drop_table("accounts")
    op.drop_table("access_requests")


def _access_requests() -> None:
    op.create_table(
        "access_requests",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.LargeBinary(), nullable=False),
        sa.Column("app_id", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("decided", sa.BigInteger(), nullable=True),
        sa.Column("grant_id", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "request_id", name="pk_access_requests"),
    )
    op.create_index(
        "ix_access_requests_app",
        "access_requests",
        ["app_id"],
    )
    op.create_index(
        "ux_access_requests_id",
        "access_requests",
        ["request_id"],
        unique=True,
    )


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("card", sa.LargeBinary(), nullable=False),
        sa.Column("card_signature", sa.LargeBinary(), nullable=False),
        sa.Column("signing_key", sa.LargeBinary(), nullable=False),
        sa.Column("keys_hash", sa.LargeBinary(), nullable=False),
        sa.Column("identity_generation", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_accounts"),
    )
    op.create_index(
        "ux_accounts_username",
        "accounts",
        ["username"],
        unique=True,
    )


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("app_id", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_used", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("app_id", "key_id", name="pk_api_keys"),
    )


def _apps() -> None:
    op.create_table(
        "apps",
        sa.Column("app_id", sa.LargeBinary(), nullable=False),
        sa.Column("developer_id", sa.LargeBinary(), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("signing_key", sa.LargeBinary(), nullable=False),
        sa.Column("keys_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", name="pk_apps"),
    )


def _developers() -> None:
    op.create_table(
        "developers",
        sa.Column("developer_id", sa.LargeBinary(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("developer_id", name="pk_developers"),
    )


def _entries() -> None:
    op.create_table(
        "entries",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("grant_id", sa.LargeBinary(), nullable=True),
        sa.Column("key_number", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("record_seq", sa.BigInteger(), nullable=True),
        sa.Column("record", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "seq", name="pk_entries"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_entries_grant",
        "entries",
        ["account_id", "grant_id", "changed"],
        sqlite_where=sa.text("grant_id IS NOT NULL"),
        postgresql_where=sa.text("grant_id IS NOT NULL"),
    )
    op.create_index(
        "ux_entries_version",
        "entries",
        ["account_id", "subject", "version"],
        unique=True,
        sqlite_where=sa.text("status IS NOT NULL"),
        postgresql_where=sa.text("status IS NOT NULL"),
    )


def _grant_wraps() -> None:
    op.create_table(
        "grant_wraps",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("grant_id", sa.LargeBinary(), nullable=False),
        sa.Column("memory_id", sa.LargeBinary(), nullable=False),
        sa.Column("key_number", sa.BigInteger(), nullable=False),
        sa.Column("wrap", sa.LargeBinary(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "grant_id", "memory_id", "key_number", name="pk_grant_wraps"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_grant_wraps_changed",
        "grant_wraps",
        ["account_id", "grant_id", "changed"],
    )
    op.create_index(
        "ix_grant_wraps_memory",
        "grant_wraps",
        ["account_id", "memory_id"],
    )


def _grants() -> None:
    op.create_table(
        "grants",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("grant_id", sa.LargeBinary(), nullable=False),
        sa.Column("app_id", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("owner_wrap", sa.LargeBinary(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("last_read", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "grant_id", name="pk_grants"),
    )
    op.create_index(
        "ix_grants_app",
        "grants",
        ["app_id"],
    )
    op.create_index(
        "ux_grants_id",
        "grants",
        ["grant_id"],
        unique=True,
    )


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("caller", sa.LargeBinary(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key_hash", name="pk_idempotency"),
    )
    op.create_index(
        "ix_idempotency_created",
        "idempotency",
        ["created"],
    )


def _keyslots() -> None:
    op.create_table(
        "keyslots",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("slot_id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("keyslot", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "slot_id", name="pk_keyslots"),
    )


def _logs() -> None:
    op.create_table(
        "logs",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=False),
        sa.Column("memories", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("quota_memories", sa.BigInteger(), nullable=False),
        sa.Column("quota_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_logs"),
    )


def _memories() -> None:
    op.create_table(
        "memories",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("memory_id", sa.LargeBinary(), nullable=False),
        sa.Column("newest_version", sa.BigInteger(), nullable=False),
        sa.Column("newest_digest", sa.LargeBinary(), nullable=False),
        sa.Column("key_number", sa.BigInteger(), nullable=False),
        sa.Column("current_version", sa.BigInteger(), nullable=True),
        sa.Column("current_seq", sa.BigInteger(), nullable=True),
        sa.Column("shown_seq", sa.BigInteger(), nullable=True),
        sa.Column("list_seq", sa.BigInteger(), nullable=True),
        sa.Column("importance", sa.BigInteger(), nullable=True),
        sa.Column("deleted", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "memory_id", name="pk_memories"),
        sqlite_with_rowid=False,
    )


def _memory_tags() -> None:
    op.create_table(
        "memory_tags",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("memory_id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "tag", "memory_id", name="pk_memory_tags"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_memory_tags_memory",
        "memory_tags",
        ["account_id", "memory_id"],
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.LargeBinary(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_key", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "session_id", name="pk_sessions"),
    )
    op.create_index(
        "ux_sessions_token",
        "sessions",
        ["account_id", "token_hash"],
        unique=True,
    )


def _settings() -> None:
    op.create_table(
        "settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )


def _tiles() -> None:
    op.create_table(
        "tiles",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "idx", name="pk_tiles"),
    )


def _used_nonces() -> None:
    op.create_table(
        "used_nonces",
        sa.Column("account_id", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "nonce", name="pk_used_nonces"),
    )
