"""What a change does to the stored log and the memories (docs/spec/5-log.md and 7-http.md).

A `Ledger` lives for one transaction on one account. Entries are added to it one after the other; it
keeps what they do in memory as far as it can, so that a batch becomes a few multi-row statements.
"""

from collections.abc import Iterable, Sequence

import msgspec

from coffret_server import merkle
from coffret_server.held import Held
from coffret_server.news import News
from coffret_server.problems import refuse
from coffret_server.rows import (
    ADD_ENTRY,
    ADD_MEMORY,
    ADD_TAG,
    ADD_TILE,
    BY_APPS,
    BY_OWNER,
    CHANGE_MEMORY,
    DROP_TAGS,
    ERASE,
    ERASE_MEMORY,
    FIND_LEAF,
    FIND_VERSION,
    HIDE,
    NEWEST_PENDING,
    SET_LOG,
    SET_RECORD,
    SET_STATUS,
    SIZE_OF_MEMORY,
    Memory,
    Put,
    Rewrap,
    State,
    Target,
    check_digest,
    check_key_number,
    check_length,
    check_quota,
    check_same_key,
    conflict,
    unpack_leaf,
)
from coffret_server.schema import ACCEPTED, PENDING, REJECTED
from coffret_server.storage.base import SQLITE_VARIABLES, DuplicateRowError, Tx, Value, marks
from coffret_server.waiting import Waiting
from coffret_server.wire import records
from coffret_server.wire.log import Entry, parse_entry

_packed = msgspec.msgpack.Encoder().encode


class Ledger:
    """The changes of one transaction on one account."""

    def __init__(self, tx: Tx, account: bytes, state: State) -> None:
        self.tx = tx
        self.account = account
        self.state = state
        self.frontier = merkle.Frontier(state.size, state.frontier)
        self.seq = state.size
        self.waiting = Waiting(tx, account)
        self.news = News(tx, account)
        self.held = Held(tx, account)
        self._memories: dict[bytes, Memory] = {}
        self._entries: list[tuple[Value, ...]] = []
        self._tags: list[tuple[Value, ...]] = []
        self._unlisted: set[bytes] = set()  # what lists show of them was rejected: find another
        self._memory_count = state.memories
        self._bytes = state.bytes
        self._halves = 0  # of its length, up to which the log takes this; 0: however long it is

    async def load(self, memories: Iterable[bytes]) -> None:
        """Read where these memories stand."""
        wanted = [memory for memory in dict.fromkeys(memories) if memory not in self._memories]
        for start in range(0, len(wanted), SQLITE_VARIABLES):
            part = wanted[start : start + SQLITE_VARIABLES]
            rows = await self.tx.all(
                "SELECT memory_id, newest_version, newest_digest, key_number, current_version,"  # noqa: S608 - only question marks are put into the text
                " current_seq, shown_seq, list_seq, importance, deleted FROM memories"
                f" WHERE account_id = ? AND memory_id IN ({marks(part)})",
                self.account,
                *part,
            )
            for row in rows:
                memory = self._memories[row[0]] = Memory(*row)
                memory.fresh = False

    def find(self, memory: bytes) -> Memory | None:
        """A memory that was loaded or made in this transaction, unless it is deleted."""
        found = self._memories.get(memory)
        return None if found is None or found.deleted else found

    def stored(self, memory: bytes) -> Memory | None:
        """A memory that was loaded, deleted or not."""
        return self._memories.get(memory)

    def _next(self, entry: Entry) -> Memory:
        """The memory of a put or delete, whose version must be the next."""
        memory = self._memories.get(entry.subject)
        if memory is None:
            if entry.version != 1 or entry.kind != "put":
                message = "there is no such memory"
                raise conflict(message)
            memory = self._memories[entry.subject] = Memory(entry.subject)
            return memory
        if memory.deleted:
            message = "the memory is deleted"
            raise conflict(message)
        if entry.version != memory.newest + 1:
            message = "the version is not one more than the newest"
            raise conflict(message, memory)
        return memory

    async def _hide(self, memory: Memory) -> None:
        """Take the record of what was in force out of the sync feed."""
        if memory.shown_seq is not None:
            if memory.shown_seq >= self.state.size:
                await self._flush_entries()
            await self.tx.run(HIDE, self.account, memory.shown_seq)
            memory.shown_seq = None

    async def _list(self, memory: Memory, seq: int | None, header: records.Header | None) -> None:
        """Let the list of memories show this version."""
        if not memory.fresh or memory.list_seq is not None:
            await self._flush_tags()
            await self.tx.run(DROP_TAGS, self.account, memory.memory)
        self._unlisted.discard(memory.memory)
        memory.list_seq = seq
        memory.importance = header.importance if header else None
        for tag in header.tags if header else ():
            self._tags.append((self.account, memory.memory, tag))

    def _newest(self, memory: Memory, entry: Entry, digest: bytes) -> None:
        memory.newest = entry.version
        memory.digest = digest
        memory.dirty = True

    def add_plain(self, leaf: bytes, entry: Entry) -> None:
        """An entry that speaks of no memory."""
        self._add(leaf, entry)

    async def put(self, leaf: bytes, entry: Entry, put: Put) -> None:
        """An owner's version: in force at once."""
        memory = self._next(entry)
        check_key_number(memory, put)
        await self._hide(memory)
        seq = self.seq
        self._memory_count += memory.list_seq is None
        await self._list(memory, seq, put.header)
        if memory.newest:
            self.news.add(memory.memory, self.seq)
        self._newest(memory, entry, put.digest)
        memory.key_number = max(memory.key_number, put.header.key_number)
        memory.current, memory.current_seq, memory.shown_seq = entry.version, seq, seq
        self._add(leaf, entry, put=put, status=ACCEPTED)

    async def put_pending(self, leaf: bytes, entry: Entry, put: Put) -> None:
        """An app's version: pending until the owner decides."""
        memory = self._next(entry)
        check_same_key(memory, put)
        is_first = memory.list_seq is None  # that is there of it
        self._memory_count += is_first
        if memory.current is None:
            await self._list(memory, self.seq, put.header)
        self._newest(memory, entry, put.digest)
        memory.key_number = put.header.key_number
        self._add(leaf, entry, put=put, status=PENDING)
        self.waiting.add(put.grant, put.record)
        if put.grant is not None and is_first:
            self.add_wrap(put.grant, memory.memory, put.header.key_number, put.wrap)

    async def delete(self, leaf: bytes, entry: Entry) -> None:
        """An owner's deletion: at once, and the ciphertext goes."""
        memory = self._next(entry)
        check_digest(memory, entry)
        self._newest(memory, entry, entry.digest)
        self._add(leaf, entry, status=ACCEPTED)
        await self._erase(memory)

    async def delete_pending(self, leaf: bytes, entry: Entry, grant: bytes) -> None:
        """An app's deletion: pending until the owner decides."""
        memory = self._next(entry)
        check_digest(memory, entry)
        if memory.current is None:
            message = "the memory was never accepted"
            raise conflict(message)  # no version of it would do
        self._newest(memory, entry, entry.digest)
        self._add(leaf, entry, status=PENDING, grant=grant)
        self._halves = BY_APPS
        self.waiting.add(grant, None)

    async def accept(self, leaf: bytes, entry: Entry, rewrap: Rewrap | None) -> None:
        """The owner's yes to a pending version."""
        memory, target = await self._pending(entry)
        # A deletion too: it would take with it what nobody who proposed or accepted it has seen.
        if memory.current is not None and entry.version < memory.current:
            message = "the version was overtaken by the one in force"
            raise conflict(message, memory)
        await self._decide(memory, target, ACCEPTED)
        if target.kind == "delete":
            self._add(leaf, entry)
            await self._erase(memory)
            return
        record = await self._rewrapped(memory, target, rewrap)
        await self._hide(memory)
        await self._list(memory, target.seq, records.parse_header(record[0]))
        memory.current, memory.current_seq = entry.version, target.seq
        memory.shown_seq = self.seq
        self.news.add(memory.memory, self.seq)
        self._add(leaf, entry, shows=target.seq)

    async def reject(self, leaf: bytes, entry: Entry) -> None:
        """The owner's no to a pending version: its ciphertext goes, and counts no more."""
        memory, target = await self._pending(entry)
        await self._decide(memory, target, REJECTED)
        await self.tx.run(ERASE, self.account, target.seq)
        self._bytes -= len(target.record or b"")
        if memory.list_seq == target.seq:
            self._unlisted.add(memory.memory)
        self._add(leaf, entry)

    def add_wrap(self, grant: bytes, memory: bytes, key_number: int, wrap: bytes) -> None:
        """A memory's key wrapped for a grant. It is news from the next entry on."""
        stored = self._memories.get(memory)
        is_new = stored is not None and stored.fresh
        self.held.add((grant, memory), key_number, wrap, self.seq, is_new=is_new)

    def store(self, size: int) -> None:
        """Count bytes that are stored beside the log with this change."""
        self._bytes += size

    def _add(
        self,
        leaf: bytes,
        entry: Entry,
        *,
        put: Put | None = None,
        status: int | None = None,
        grant: bytes | None = None,
        shows: int | None = None,
    ) -> None:
        seq = self.seq
        self._entries.append(
            (
                self.account, seq, _packed(leaf), entry.kind, entry.subject, entry.version, status,
                put.grant if put else grant, put.header.key_number if put else 0, seq,
                seq if put else shows, put.record if put else None,
            )
        )  # fmt: skip
        self.frontier.extend((merkle.leaf_hash(leaf),))
        self.seq += 1
        if put:
            self._bytes += len(put.record)
            self._halves = BY_OWNER if put.grant is None else BY_APPS

    async def target(self, memory: bytes, version: int) -> Target | None:
        """A stored put or delete of a memory."""
        await self._flush_entries()
        row = await self.tx.one(
            FIND_VERSION,
            self.account,
            memory,
            version,
        )
        if row is None:
            return None
        seq, kind, status, record, stored, grant = row
        leaf = unpack_leaf(stored)
        entry = parse_entry(leaf if grant is None else leaf[:-64])
        return Target(seq, kind, status, record, entry, grant)

    async def seq_of(self, leaf: bytes, entry: Entry) -> int | None:
        """Where this very leaf stands, if it is in the log."""
        row = await self.tx.one(FIND_LEAF, self.account, entry.subject, entry.version)
        return row[0] if row is not None and unpack_leaf(row[1]) == leaf else None

    async def _pending(self, entry: Entry) -> tuple[Memory, Target]:
        memory = self.find(entry.subject)
        target = await self.target(entry.subject, entry.version) if memory else None
        if memory is None or target is None or target.status != PENDING:
            message = "no such version is pending"
            raise conflict(message, memory)
        if target.entry.digest != entry.digest:
            refuse("invalid-input", "the digest is not that of the pending version")
        return memory, target

    async def _decide(self, memory: Memory, target: Target, status: int) -> None:
        await self.tx.run(SET_STATUS, status, self.seq, self.account, target.seq)
        self.waiting.decided(target.grant, target.record)
        memory.dirty = True

    async def _rewrapped(
        self, memory: Memory, target: Target, rewrap: Rewrap | None
    ) -> list[bytes]:
        """The record of an accepted version, under the owner's key if that came with it."""
        parts: list[bytes] = msgspec.msgpack.decode(target.record or b"\x90", type=list[bytes])
        if rewrap is None:
            if memory.current is None:
                refuse("invalid-input", "to accept what an app created needs the owner's wrap")
            return parts
        parts[2:] = [rewrap.kek, rewrap.wrap]
        record = _packed(parts)
        self._bytes += len(record) - len(target.record or b"")
        await self.tx.run(SET_RECORD, record, self.account, target.seq)
        return parts

    async def _list_pending(self) -> None:
        """List what waits in the place of what was rejected: all such is looked through for it."""
        for memory in [self._memories[each] for each in self._unlisted]:
            await self._list_newest_pending(memory)
            self._memory_count -= memory.list_seq is None

    async def _list_newest_pending(self, memory: Memory) -> None:
        row = await self.tx.one(NEWEST_PENDING, self.account, memory.memory)
        if row is None:  # nothing of it is there: nor does it count that an app made it
            await self._list(memory, None, None)
            await self.held.forget(memory.memory)
            return
        parts: list[bytes] = msgspec.msgpack.decode(row[1], type=list[bytes])
        await self._list(memory, row[0], records.parse_header(parts[0]))

    async def _erase(self, memory: Memory) -> None:
        """Forget the ciphertext, tags and wraps of a memory; its entries stay."""
        await self._flush_entries()
        row = await self.tx.one(SIZE_OF_MEMORY, self.account, memory.memory)
        self._bytes -= int(row[0]) if row else 0
        await self.waiting.forget(memory.memory)
        await self._hide(memory)
        await self.tx.run(ERASE_MEMORY, self.account, memory.memory)
        self._memory_count -= memory.list_seq is not None
        await self._list(memory, None, None)
        await self.held.forget(memory.memory)
        memory.deleted, memory.current, memory.current_seq = 1, None, None

    async def _flush_entries(self) -> None:
        if self._entries:
            await self._insert(ADD_ENTRY, self._entries)
            self._entries = []

    async def _flush_tags(self) -> None:
        if self._tags:
            await self.tx.many(ADD_TAG, self._tags)
            self._tags = []

    async def _insert(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        try:
            if len(rows) == 1:
                await self.tx.run(sql, *rows[0])
            else:
                await self.tx.many(sql, rows)
        except DuplicateRowError:
            message = "a memory with that id exists"
            raise conflict(message) from None

    async def finish(self, head: str | None = None, base: int | None = None) -> None:
        """Write everything, and where the log stands now.

        Args:
            head: the owner's new head, if this is an append of the owner.
            base: the size that append built on.
        """
        await self._list_pending()
        self._bytes += await self.held.growth()
        check_quota(self.state, self._memory_count, self._bytes)
        if self._halves:
            check_length(self.state, self.seq, self._halves)
        account = self.account
        fresh = [m.row(account) for m in self._memories.values() if m.fresh and m.dirty]
        changed = [m.row(account) for m in self._memories.values() if m.dirty and not m.fresh]
        if fresh:
            await self._insert(ADD_MEMORY, fresh)
        if changed:
            await self.tx.many(CHANGE_MEMORY, changed)
        await self._flush_entries()
        await self._flush_tags()
        await self.news.finish()
        await self.held.finish()
        await self.waiting.finish()
        if self.frontier.tiles:
            tiles = [(account, index, digest) for index, digest in self.frontier.tiles]
            await self.tx.many(ADD_TILE, tiles)
        await self.tx.run(
            SET_LOG,
            self.seq,
            self.frontier.packed(),
            self.state.head if head is None else head,
            self.state.base if base is None else base,
            self._memory_count,
            self._bytes,
            account,
        )
