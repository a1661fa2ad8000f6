"""The rows that a change touches: their statements, and what they are in memory."""

import base64
from typing import Final

import msgspec

from coffret_server.problems import SESSION_ENDED, ProblemError, refuse
from coffret_server.storage.base import Tx, Value
from coffret_server.wire import records
from coffret_server.wire.log import Entry

LENGTH: Final = 1_000_000
LENGTH_A_MEMORY: Final = 64
"""Entries of a log in which versions are written: so many, or as many for each memory of a quota.

With the quotas that are usual they take as much room as the records may. Apps have half of it, so
that none fills what the owner writes in. What an owner may say again and again beside memories has
as much behind it: whoever has filled a log with versions can still change a passphrase in it.
"""
BY_APPS: Final = 1
BY_OWNER: Final = 2
BESIDE_MEMORIES: Final = 4
"""Halves of that length, up to which entries of a kind are taken."""
REPEATABLE: Final = frozenset({"settings", "keyslot", "keyslot-remove", "grant", "pause", "resume"})
"""Entries of which there can be any number; of all others beside, one for each of something."""
ADD_ENTRY: Final = (
    "INSERT INTO entries (account_id, seq, leaf, kind, subject, version, status, grant_id,"
    " key_number, changed, record_seq, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ADD_MEMORY: Final = (
    "INSERT INTO memories (newest_version, newest_digest, key_number, current_version,"
    " current_seq, shown_seq, list_seq, importance, deleted, account_id, memory_id)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
CHANGE_MEMORY: Final = (
    "UPDATE memories SET newest_version = ?, newest_digest = ?, key_number = ?,"
    " current_version = ?, current_seq = ?, shown_seq = ?, list_seq = ?, importance = ?,"
    " deleted = ? WHERE account_id = ? AND memory_id = ?"
)
ADD_TAG: Final = "INSERT INTO memory_tags (account_id, memory_id, tag) VALUES (?, ?, ?)"
DROP_TAGS: Final = "DELETE FROM memory_tags WHERE account_id = ? AND memory_id = ?"
# Newer SQLite takes no index of memories for what it changes, and would read every wrap of the
# account: so the rows are chosen first, by that index, and then changed by their keys.
TOUCH_WRAPS: Final = (
    "UPDATE grant_wraps SET changed = ?"
    " WHERE (account_id, grant_id, memory_id, key_number) IN"
    " (SELECT account_id, grant_id, memory_id, key_number FROM grant_wraps"
    " WHERE account_id = ? AND memory_id = ?)"
)
DROP_WRAPS: Final = (
    "DELETE FROM grant_wraps"
    " WHERE (account_id, grant_id, memory_id, key_number) IN"
    " (SELECT account_id, grant_id, memory_id, key_number FROM grant_wraps"
    " WHERE account_id = ? AND memory_id = ?) RETURNING 1"
)
DROP_OLDER_WRAPS: Final = (
    "DELETE FROM grant_wraps"
    " WHERE account_id = ? AND grant_id = ? AND memory_id = ? AND key_number < ?"
)
HIDE: Final = "UPDATE entries SET record_seq = NULL WHERE account_id = ? AND seq = ?"
PUT_WRAP: Final = (
    "INSERT INTO grant_wraps (account_id, grant_id, memory_id, key_number, wrap, changed)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account_id, grant_id, memory_id, key_number)"
    " DO UPDATE SET wrap = excluded.wrap, changed = excluded.changed"
)
SET_STATUS: Final = (
    "UPDATE entries SET status = ?, changed = ?, record_seq = NULL WHERE account_id = ? AND seq = ?"
)
FIND_VERSION: Final = (
    "SELECT seq, kind, status, record, leaf, grant_id FROM entries"
    " WHERE account_id = ? AND subject = ? AND version = ? AND status IS NOT NULL"
)
ERASE: Final = "UPDATE entries SET record = NULL WHERE account_id = ? AND seq = ?"
# What waits is found by an index of its own, which is taken where its condition is said: whoever
# refuses one of a million versions does not look through those that were refused before.
NEWEST_PENDING: Final = (
    "SELECT seq, record FROM entries WHERE account_id = ? AND subject = ? AND version > 0"
    " AND status = 1 AND kind = 'put' ORDER BY version DESC LIMIT 1"
)
SET_RECORD: Final = "UPDATE entries SET record = ? WHERE account_id = ? AND seq = ?"
# Every version is above 0. Only where that is said as well does SQLite take the index of versions:
# it knows nothing of how the rows are spread, and would read the whole log of the account instead.
SIZE_OF_MEMORY: Final = (
    "SELECT COALESCE(SUM(LENGTH(record)), 0) FROM entries"
    " WHERE account_id = ? AND subject = ? AND version > 0 AND status IS NOT NULL"
)
ERASE_MEMORY: Final = (
    "UPDATE entries SET record = NULL, record_seq = NULL"
    " WHERE account_id = ? AND subject = ? AND version > 0 AND status IS NOT NULL"
)
WAITING_OF_MEMORY: Final = (
    "SELECT grant_id, COUNT(*), COALESCE(SUM(LENGTH(record)), 0) FROM entries"
    " WHERE account_id = ? AND subject = ? AND version > 0 AND status = 1 GROUP BY grant_id"
)
FIND_LEAF: Final = (
    "SELECT seq, leaf FROM entries WHERE account_id = ?"
    " AND subject = ? AND version = ? AND status IS NOT NULL"
)
SET_LOG: Final = (
    "UPDATE logs SET size = ?, frontier = ?, head = ?, base = ?, memories = ?, bytes = ?"
    " WHERE account_id = ?"
)
ADD_TILE: Final = "INSERT INTO tiles (account_id, idx, hash) VALUES (?, ?, ?)"


class Put(msgspec.Struct, frozen=True, gc=False):
    """A record that was checked, and its bytes as they are stored and sent."""

    header: records.Header
    digest: bytes
    record: bytes
    wrap: bytes
    grant: bytes | None


class Rewrap(msgspec.Struct, frozen=True, gc=False):
    """The owner's own wrap of a memory key, replacing an app's."""

    kek: bytes
    wrap: bytes


class Memory(msgspec.Struct):
    """The row of a memory while it changes.

    Attributes:
        memory: its id.
        newest: the number of its newest version, whatever became of that.
        digest: of that version.
        key_number: the newest of its keys.
        current: the number of the version in force.
        current_seq: the entry with that version's `put`, and so with its record.
        shown_seq: the entry beside which the sync feed has that record: the `put`, or where an app
            wrote it the `accept`.
        list_seq: the entry with the version that lists show: the one in force, else the newest
            pending one. A memory without any counts to no quota.
        importance: as the lists show it.
        deleted: whether its owner deleted it.
        fresh: whether it has no row yet.
        dirty: whether it differs from its row.
    """

    memory: bytes
    newest: int = 0
    digest: bytes = b""
    key_number: int = 0
    current: int | None = None
    current_seq: int | None = None
    shown_seq: int | None = None
    list_seq: int | None = None
    importance: int | None = None
    deleted: int = 0
    fresh: bool = True
    dirty: bool = False

    def row(self, account: bytes) -> tuple[Value, ...]:
        """The columns in the order of the statements above."""
        return (
            self.newest, self.digest, self.key_number, self.current, self.current_seq,
            self.shown_seq, self.list_seq, self.importance, self.deleted, account, self.memory,
        )  # fmt: skip


class Target(msgspec.Struct, frozen=True):
    """A stored version that an entry speaks of."""

    seq: int
    kind: str
    status: int
    record: bytes | None
    entry: Entry
    grant: bytes | None


class State(msgspec.Struct, frozen=True):
    """Where the log stands, and the key that signs its heads."""

    signing_key: bytes
    size: int
    frontier: bytes
    head: str
    base: int
    memories: int
    bytes: int
    quota_memories: int
    quota_bytes: int


PATIENCE: Final = 3.0
"""Seconds: what an honest owner does at once, and more, is done in them, but a change of keys."""
_HOLD: Final = "SELECT 1 FROM logs WHERE account_id = ?"
_SESSION_STANDS: Final = "SELECT 1 FROM sessions WHERE account_id = ? AND session_id = ?"


async def check_session(tx: Tx, account: bytes, session: bytes) -> None:
    """Refuse what is done by a session that ended while it waited for what is locked.

    It is looked at behind the last lock that a change waits for, and not held itself: to end a
    session has to wait for nothing that is done by it (ADR 0024).

    Raises:
        ProblemError: `session-ended`.
    """
    if await tx.one(_SESSION_STANDS, account, session) is None:
        refuse(*SESSION_ENDED)


async def wait_briefly(tx: Tx) -> None:
    """Let an app wait seconds for what is locked of an owner's, and come again (503) after them.

    An owner may hold their log for minutes, on purpose too. Meanwhile each call that waits for it
    has one of the few turns that the app has for all owners.
    """
    if tx.for_update:
        await tx.run(f"SET LOCAL lock_timeout = {int(PATIENCE * 1_000)}")


async def load_state(tx: Tx, account: bytes, session: bytes | None) -> State:
    """Lock and read where an account's log stands.

    Args:
        tx: the transaction.
        account: whose log.
        session: by which it is asked for; None where the account is being made.

    Raises:
        ProblemError: `session-ended`; so is every one whose account was deleted meanwhile.
    """
    found = await find_state(tx, account, session)
    if found is None:
        refuse(*SESSION_ENDED)
    return found


async def find_state(tx: Tx, account: bytes, session: bytes | None = None) -> State | None:
    """As `load_state`; None where there is no such account, or its session has ended.

    For the lock it may have to wait, and PostgreSQL shows a statement other tables as they were
    before that: a session that ended meanwhile, or a key that was replaced, in one that comes then.
    """
    if tx.for_update:
        await tx.one(_HOLD + tx.for_update, account)
    row = await tx.one(
        "SELECT (SELECT signing_key FROM accounts a WHERE a.account_id = logs.account_id),"
        " size, frontier, head, base, memories, bytes, quota_memories, quota_bytes,"
        " (SELECT COUNT(*) FROM sessions s"
        " WHERE s.account_id = logs.account_id AND s.session_id = ?)"
        " FROM logs WHERE account_id = ?",
        session or b"",
        account,
    )
    if row is None or (session is not None and not row[-1]):
        return None
    return State(*row[:-1])


def unpack_leaf(stored: bytes) -> bytes:
    """The leaf from the MessagePack value that is stored."""
    leaf: bytes = msgspec.msgpack.decode(stored, type=bytes)
    return leaf


def conflict(detail: str, memory: Memory | None = None) -> ProblemError:
    """A refusal of a change that does not fit; it tells where the memory stands."""
    code, current = "conflict", None
    if memory is not None and memory.newest:
        digest = base64.b64encode(memory.digest).decode()
        current = {"version": memory.newest, "digest": digest}
    return ProblemError(code, detail, current=current)


def check_key_number(memory: Memory, put: Put) -> None:
    """A version is sealed under a key that exists, or under one that begins with it."""
    if memory.key_number < put.header.key_number != put.header.version:
        refuse("invalid-input", "a fresh key has another number than its version")


def check_same_key(memory: Memory, put: Put) -> None:
    """An app begins with key number 1 and never another: to change keys is the owner's."""
    if put.header.key_number != max(memory.key_number, 1):
        message = "the key number is not the one in use"
        raise conflict(message, memory)


def check_digest(memory: Memory, entry: Entry) -> None:
    """A deletion names the newest version by its digest."""
    if entry.digest != memory.digest:
        message = "the digest is not that of the newest version"
        raise conflict(message, memory)


def check_length(state: State, size: int, halves: int) -> None:
    """Refuse an entry more in a log that is longer than any use of its account makes it.

    What was deleted leaves its entries: of no quota, they would be stored without end. An owner's
    deletions, decisions, revocations and key changes go on: each ends something that has an end.
    """
    most = max(LENGTH, LENGTH_A_MEMORY * state.quota_memories)
    if size > most * halves // 2:
        code, detail = "quota-exceeded", "the log is too long: begin a new vault with what is here"
        raise ProblemError(code, detail, retry_after=3600)


def check_quota(state: State, memories: int, size: int) -> None:
    """Refuse to grow beyond a quota; what shrinks is fine."""
    full = [
        f"{wanted:,} {what} of {quota:,}"
        for what, wanted, before, quota in (
            ("memories", memories, state.memories, state.quota_memories),
            ("bytes", size, state.bytes, state.quota_bytes),
        )
        if wanted > before and wanted > quota
    ]
    if full:
        have = f"with this the account would have {' and '.join(full)}"
        detail = f"{have}: delete memories, or ask the operator for a larger quota"
        code = "quota-exceeded"
        raise ProblemError(code, detail, retry_after=3600)
