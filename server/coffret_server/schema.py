"""The tables. What belongs to an account begins its primary key with the account's id.

Ids are 16 bytes, times microseconds, and everything sealed is kept as it came. Migrations under
`migrations/` build exactly these tables; a test compares the two.
"""

from typing import Any, Final

from sqlalchemy import BigInteger, Index, LargeBinary, SmallInteger, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ACCEPTED: Final = 0
PENDING: Final = 1
REJECTED: Final = 2
STATUS_NAMES: Final = ("accepted", "pending", "rejected")

_LISTED: Final = ("account_id", "created", "request_id", "state", "app_id", "grant_id")
_COMPACT: Final = {"sqlite_with_rowid": False}


def _only(condition: str) -> Any:  # noqa: ANN401 - arguments of an index
    return dict.fromkeys(("sqlite_where", "postgresql_where"), text(condition))


class Base(DeclarativeBase):
    """The declarative base, with the two column types everything is made of."""

    type_annotation_map = {bytes: LargeBinary(), int: BigInteger(), str: Text()}  # noqa: RUF012 - SQLAlchemy's own protocol


class Setting(Base):
    """Secrets of the server itself: the JWT key, the key of nonces and of fake challenges."""

    __tablename__ = "settings"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[bytes]


class Account(Base):
    """An owner's public identity and sealed seeds."""

    __tablename__ = "accounts"
    __table_args__ = (Index("ux_accounts_username", "username", unique=True),)
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    username: Mapped[str]
    card: Mapped[bytes]
    card_signature: Mapped[bytes]
    signing_key: Mapped[bytes]
    keys_hash: Mapped[bytes]
    identity_generation: Mapped[int]
    identity: Mapped[bytes]
    created: Mapped[int]


class Keyslot(Base):
    """One way to unwrap an account key."""

    __tablename__ = "keyslots"
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    slot_id: Mapped[bytes] = mapped_column(primary_key=True)
    kind: Mapped[str]
    keyslot: Mapped[bytes]


class Succession(Base):
    """How one account card followed another: the step, its signature, and the card before."""

    __tablename__ = "successions"
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True)
    succession: Mapped[bytes]
    signature: Mapped[bytes]
    card: Mapped[bytes]


class Rewrap(Base):
    """A memory key wrapped for the generation that a key change begins, until it does.

    Each session has its own: one that is in other hands cannot spoil a change.
    """

    __tablename__ = "rewraps"
    __table_args__ = (_COMPACT,)
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[bytes] = mapped_column(primary_key=True)
    memory_id: Mapped[bytes] = mapped_column(primary_key=True)
    key_number: Mapped[int] = mapped_column(primary_key=True)
    change_id: Mapped[bytes]
    wrap: Mapped[bytes]


class Departure(Base):
    """An account that was deleted: no other one gets its id, and so its devices can be told.

    `statement` and `signature` are the owner's, empty where the operator deleted it. The name is
    kept, and taken, until the last row of the account is gone, at `erased`.
    """

    __tablename__ = "departures"
    __table_args__ = (Index("ix_departures_open", "begun", **_only("erased IS NULL")),)
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    username: Mapped[str | None]
    statement: Mapped[bytes]
    signature: Mapped[bytes]
    begun: Mapped[int]
    erased: Mapped[int | None]


class Bygone(Base):
    """A request or a grant that went with its owner's account, for its app to be told."""

    __tablename__ = "bygones"
    __table_args__ = (_COMPACT,)
    app_id: Mapped[bytes] = mapped_column(primary_key=True)
    thing_id: Mapped[bytes] = mapped_column(primary_key=True)


class UsedNonce(Base):
    """A login nonce, or a proof, that has worked once, kept until it would have expired."""

    __tablename__ = "used_nonces"
    __table_args__ = (Index("ix_used_nonces_expires", "expires"),)
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    nonce: Mapped[bytes] = mapped_column(primary_key=True)
    expires: Mapped[int]


class Session(Base):
    """A device that logged in. The token itself is not kept."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ux_sessions_token", "account_id", "token_hash", unique=True),
        Index("ix_sessions_expires", "expires"),
        Index("ix_sessions_network", "account_id", "network", "expires"),
    )
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[bytes] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes]
    session_key: Mapped[bytes]
    address: Mapped[str]
    network: Mapped[str]
    created: Mapped[int]
    last_seen: Mapped[int]
    expires: Mapped[int]
    name: Mapped[bytes | None]


class LoginFailure(Base):
    """Until when failed logins count, of what `coffret_server.failures` counts them under."""

    __tablename__ = "login_failures"
    __table_args__ = (Index("ix_login_failures_whole", "whole"),)
    subject: Mapped[bytes] = mapped_column(primary_key=True)
    whole: Mapped[int]


class Log(Base):
    """Where a vault's log stands: its size, Merkle frontier, newest head, and usage."""

    __tablename__ = "logs"
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    size: Mapped[int]
    frontier: Mapped[bytes]
    head: Mapped[str]
    base: Mapped[int]
    memories: Mapped[int]
    bytes: Mapped[int]
    quota_memories: Mapped[int]
    quota_bytes: Mapped[int]


class Entry(Base):
    """One leaf, and beside a `put` its record.

    `leaf` and `record` are MessagePack values, so that a page is a join of them. `record_seq` is
    the leaf whose record stands beside this one in the sync feed. `status` is set for `put` and
    `delete`.
    """

    __tablename__ = "entries"
    __table_args__ = (
        Index(
            "ux_entries_version",
            "account_id",
            "subject",
            "version",
            unique=True,
            **_only("status IS NOT NULL"),
        ),
        Index("ix_entries_pending", "account_id", "subject", "version", **_only("status = 1")),
        Index(
            "ix_entries_grant", "account_id", "grant_id", "changed", **_only("grant_id IS NOT NULL")
        ),
        Index("ix_entries_settings", "account_id", "version", **_only("kind = 'settings'")),
        _COMPACT,
    )
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    leaf: Mapped[bytes]
    kind: Mapped[str]
    subject: Mapped[bytes]
    version: Mapped[int]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    grant_id: Mapped[bytes | None]
    key_number: Mapped[int]
    changed: Mapped[int]
    record_seq: Mapped[int | None]
    record: Mapped[bytes | None]


class Memory(Base):
    """Where a memory stands: its newest version, the one in force, and what a list shows."""

    __tablename__ = "memories"
    __table_args__ = (_COMPACT,)
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    memory_id: Mapped[bytes] = mapped_column(primary_key=True)
    newest_version: Mapped[int]
    newest_digest: Mapped[bytes]
    key_number: Mapped[int]
    current_version: Mapped[int | None]
    current_seq: Mapped[int | None]
    shown_seq: Mapped[int | None]
    list_seq: Mapped[int | None]
    importance: Mapped[int | None]
    deleted: Mapped[int] = mapped_column(SmallInteger)


class MemoryTag(Base):
    """The tags of what a list shows."""

    __tablename__ = "memory_tags"
    __table_args__ = (
        Index("ix_memory_tags_memory", "account_id", "memory_id"),
        _COMPACT,
    )
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)
    memory_id: Mapped[bytes] = mapped_column(primary_key=True)


class Tile(Base):
    """The Merkle hash of a full run of 256 leaves; below zero, of a wide one of 65,536."""

    __tablename__ = "tiles"
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    idx: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[bytes]


class AccessRequest(Base):
    """What an app asked an owner for."""

    __tablename__ = "access_requests"
    __table_args__ = (
        Index("ux_access_requests_id", "request_id", unique=True),
        Index(
            "ix_access_requests_by_app", "app_id", "created", "request_id", "state", "account_id"
        ),
        Index(
            "ix_access_requests_pending",
            "app_id",
            "account_id",
            "request_id",
            **_only("state = 'pending'"),
        ),
        Index("ix_access_requests_listed", *_LISTED),
        Index(
            "ix_access_requests_waiting",
            "account_id",
            "created",
            "app_id",
            "state",
            **_only("state = 'pending'"),
        ),
    )
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    request_id: Mapped[bytes] = mapped_column(primary_key=True)
    app_id: Mapped[bytes]
    request: Mapped[bytes]
    signature: Mapped[bytes]
    state: Mapped[str]
    created: Mapped[int]
    decided: Mapped[int | None]
    grant_id: Mapped[bytes | None]


class Grant(Base):
    """What an owner approved, and its state. `changes` counts its log entries."""

    __tablename__ = "grants"
    __table_args__ = (
        Index("ux_grants_id", "grant_id", unique=True),
        Index("ix_grants_created", "account_id", "created", "grant_id"),
        Index("ix_grants_known", "account_id", "app_id"),
        Index("ix_grants_by_app", "app_id", "created", "grant_id"),
    )
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    grant_id: Mapped[bytes] = mapped_column(primary_key=True)
    app_id: Mapped[bytes]
    request_id: Mapped[bytes]
    state: Mapped[str]
    scopes: Mapped[str]
    grant: Mapped[bytes] = mapped_column("statement")
    sealed_key: Mapped[bytes]
    signature: Mapped[bytes]
    owner_wrap: Mapped[bytes]
    generation: Mapped[int]
    changes: Mapped[int]
    created: Mapped[int]
    expires: Mapped[int]
    last_read: Mapped[int | None]


class GrantWrap(Base):
    """A memory's key, wrapped for one grant. `changed` is the leaf index since which it is news."""

    __tablename__ = "grant_wraps"
    __table_args__ = (
        Index("ix_grant_wraps_changed", "account_id", "grant_id", "changed"),
        Index("ix_grant_wraps_memory", "account_id", "memory_id"),
        _COMPACT,
    )
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    grant_id: Mapped[bytes] = mapped_column(primary_key=True)
    memory_id: Mapped[bytes] = mapped_column(primary_key=True)
    key_number: Mapped[int] = mapped_column(primary_key=True)
    wrap: Mapped[bytes]
    changed: Mapped[int]


class Waiting(Base):
    """What was written under a grant and waits for its owner: how much, and its records' bytes.

    Beside the grants, since it changes with the log, under the log's lock.
    """

    __tablename__ = "waiting"
    __table_args__ = (_COMPACT,)
    account_id: Mapped[bytes] = mapped_column(primary_key=True)
    grant_id: Mapped[bytes] = mapped_column(primary_key=True)
    entries: Mapped[int]
    bytes: Mapped[int]


class Developer(Base):
    """Somebody who makes apps. The key itself is not kept."""

    __tablename__ = "developers"
    developer_id: Mapped[bytes] = mapped_column(primary_key=True)
    key_hash: Mapped[bytes]
    name: Mapped[str]
    contact: Mapped[str]
    created: Mapped[int]


class App(Base):
    """An app's public identity."""

    __tablename__ = "apps"
    __table_args__ = (Index("ix_apps_developer", "developer_id"),)
    app_id: Mapped[bytes] = mapped_column(primary_key=True)
    developer_id: Mapped[bytes]
    manifest: Mapped[bytes]
    signature: Mapped[bytes]
    signing_key: Mapped[bytes]
    manifest_digest: Mapped[bytes]
    created: Mapped[int]


class ApiKey(Base):
    """One of an app's API keys, hashed; `scopes` are what it is good for, parted by spaces."""

    __tablename__ = "api_keys"
    app_id: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[bytes] = mapped_column(primary_key=True)
    key_hash: Mapped[bytes]
    created: Mapped[int]
    last_used: Mapped[int | None]
    scopes: Mapped[str]
    expires: Mapped[int | None]


class Idempotency(Base):
    """The first answer to a creating call, for 24 hours, without the secrets it showed once."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("ix_idempotency_created", "created"),)
    caller: Mapped[bytes] = mapped_column(primary_key=True)
    key_hash: Mapped[bytes] = mapped_column(primary_key=True)
    body_hash: Mapped[bytes]
    answer: Mapped[bytes]
    created: Mapped[int]
