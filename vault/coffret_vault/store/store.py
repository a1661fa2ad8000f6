"""The device's copy of a vault. Every change is one transaction; nothing in it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from coffret_vault.errors import FormatError, StoreDamagedError, StoreMovedError
from coffret_vault.formats.memory import Record
from coffret_vault.log.replay import MemoryState
from coffret_vault.log.tree import Frontier
from coffret_vault.log.verify import Position, Verified
from coffret_vault.store.grants import GrantRow, GrantTable
from coffret_vault.store.known import LOG
from coffret_vault.store.mark import Mark, parse_mark
from coffret_vault.store.schema import blob, connect, durable, integer, mapped, transaction
from coffret_vault.store.values import Values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from coffret_vault.store.known import Sealing


class StoredRecord(NamedTuple):
    """A record with the memory and version it is of."""

    memory_id: bytes
    version: int
    record: Record


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """A version whose record the log names.

    Its digest, whether it is the one that counts, and the app that wrote it (empty: the owner).
    """

    digest: bytes
    current: bool
    author: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(MemoryState).decode
_PUT_RECORDS = "INSERT OR REPLACE INTO records VALUES"
_PUT_RECORD = f"{_PUT_RECORDS} (?, ?, ?, ?, ?, ?)"
_ASKED = 500
"""How many values are put into one query."""
_FIELDS = "memory_id, version, header, envelope, kek, wrap"


class Store(Values):
    """One vault's local database.

    What a method does, it does on one state of it, whatever other threads do; what is to be done in
    several calls on one state is done within :meth:`alone`.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the database at ``path``.

        Raises:
            StoreError: it cannot be used; StoreDamagedError when it is not what we wrote.
        """
        self.path = path
        self.changes = 0
        """Counts what was written here, for those who keep something made from it."""
        super().__init__(connect(path))
        self.grants = GrantTable(self._database, self.known)
        self._known: tuple[bytes, Mark] | None = None

    def alone(self) -> AbstractContextManager[bool]:
        """Keep other threads waiting until the block is left."""
        return self._database.turn

    def version(self) -> tuple[int, int]:
        """Differs whenever something was written, here or by another program."""
        with mapped():
            (by_others,) = self._database.execute("PRAGMA data_version").fetchone()
        return self.changes, integer(by_others)

    def close(self) -> None:
        """Close the database; the store cannot be used any more."""
        self._database.close()

    def position(self, account_id: bytes, owner_public: bytes) -> Position:
        """How far the log is verified here.

        Raises:
            StoreDamagedError: what is kept does not fit together.
        """
        kept = self.meta(LOG)
        if kept is None:
            return Position(account_id, owner_public, None, Frontier())
        mark = self._mark(kept)
        frontier = mark.frontier.copy()
        return Position(account_id, owner_public, mark.head, frontier, mark.tail)

    def size(self) -> int:
        """How many leaves are here."""
        kept = self.meta(LOG)
        return 0 if kept is None else self._mark(kept).size

    def _mark(self, kept: bytes) -> Mark:
        """What is kept of the log, read once: it is asked for a few times a change."""
        if self._known is None or self._known[0] != kept:
            self._known = kept, parse_mark(kept)
        return self._known[1]

    def commit(
        self,
        verified: Verified,
        records: Iterable[StoredRecord] = (),
        grants: Iterable[GrantRow] = (),
        *,
        wraps: Iterable[tuple[bytes, bytes, int]] = (),
        unwraps: Iterable[tuple[bytes, bytes]] = (),
        meta: Mapping[str, bytes] | None = None,
        sealing: Sealing | None = None,
    ) -> None:
        """Take what was verified, and all that goes with it, or nothing of it.

        Args:
            verified: new entries, and the position after them.
            records: of versions that count, or that wait for the owner.
            grants: as they are after the entries.
            wraps: ``(grant, memory, key number)``: keys that grants hold from now on.
            unwraps: ``(grant, memory)``: keys that they hold no longer.
            meta: values to keep under names.
            sealing: what seals that which is known from now on, where the keys were changed.

        Where what is known was set aside, this takes its place.

        Raises:
            StoreMovedError: the store has moved on since the entries were verified against it.
        """
        position = verified.position
        if position.head is None:
            message = "nothing is verified before the first head"
            raise FormatError(message)
        mark = Mark(position.head, position.frontier.copy(), position.tail)
        kept = mark.pack()
        self.changes += 1
        with transaction(self._database):
            if verified.first != self.size():
                raise StoreMovedError
            self.known.begin()
            self.known.check()  # while log and position still agree
            if self.known.aside:
                self.known.forget_all()
            self._database.executemany(
                "INSERT INTO leaves VALUES (?, ?)", enumerate(verified.leaves, verified.first)
            )
            self._put_states(verified.states)
            self._database.executemany(_PUT_RECORD, map(_flat, records))
            self.grants.put_rows(grants)
            if wraps:
                self.grants.put_wraps(wraps)
            if unwraps:
                self.grants.drop_wraps(unwraps)
            self._put_values({**(meta or {}), LOG: kept})
            if self.known.aside or sealing is not None:
                self.known.renew(sealing)
            self.known.finish(mark.size)
        self._known = kept, mark

    def _put_states(self, states: dict[bytes, MemoryState]) -> None:
        self._database.executemany(
            "INSERT OR REPLACE INTO memories VALUES (?, ?, ?, ?)",
            (
                (memory_id, state.current, len(state.pending), _encode(state))
                for memory_id, state in states.items()
            ),
        )
        again = [item for item in states.items() if item[1].newest > 1]
        if not again:
            return
        self._database.executemany(
            "DELETE FROM records WHERE memory_id = ? AND version <> ? AND "
            "version NOT IN (SELECT value FROM json_each(?))",
            (
                (memory_id, state.current, str([item.version for item in state.proposals]))
                for memory_id, state in again
            ),
        )
        self.grants.drop_memories(memory_id for memory_id, state in again if state.deleted)

    def put_records(self, records: Iterable[StoredRecord]) -> None:
        """Keep records whose digests were compared with the log."""
        self.changes += 1
        with transaction(self._database):
            self._database.executemany(_PUT_RECORD, map(_flat, records))

    def put_records_soon(self, records: Iterable[StoredRecord]) -> None:
        """As :meth:`put_records`, while the caller goes on.

        Whatever is asked of the store next waits for them, and raises what befell them.
        """
        self.changes += 1
        with mapped():
            self._database.insert_soon(_PUT_RECORDS, list(map(_flat, records)))

    def records_under(self, kek: bytes) -> list[StoredRecord]:
        """The records whose memory key is wrapped under what this ``kek`` names."""
        query = f"SELECT {_FIELDS} FROM records WHERE kek = ?"  # noqa: S608 - a constant
        with mapped():
            rows = self._database.execute(query, (kek,)).fetchall()
        return [
            StoredRecord(blob(row[0]), integer(row[1]), Record(*map(blob, row[2:]))) for row in rows
        ]

    def take_over(
        self,
        records: Iterable[StoredRecord],
        meta: Mapping[str, bytes],
        *,
        anew: bool = False,
    ) -> None:
        """Replace wraps in records, and values with them, or nothing of it.

        It outlasts a power cut.

        Args:
            records: with the new wraps.
            meta: values to keep under names.
            anew: seal all that is known; this device has just made it, and set it aside meanwhile.
        """
        self.changes += 1
        with durable(self._database), transaction(self._database):
            self._database.executemany(_PUT_RECORD, map(_flat, records))
            self.known.begin()
            self._put_values(meta)
            if anew:
                self.known.renew()
            self.known.finish()

    def leaf(self, index: int) -> bytes | None:
        """A leaf of the log."""
        with mapped():
            found = self._database.execute(
                "SELECT leaf FROM leaves WHERE at = ?", (index,)
            ).fetchone()
        return blob(found[0]) if found else None

    def leaves(self, first: int = 0, count: int = -1) -> Iterator[tuple[int, bytes]]:
        """Leaves from ``first`` on with their indexes; all of them when ``count`` is -1."""
        with mapped():
            rows = self._database.execute(
                "SELECT at, leaf FROM leaves WHERE at >= ? ORDER BY at LIMIT ?", (first, count)
            ).fetchall()
        return ((integer(at), blob(leaf)) for at, leaf in rows)

    def state(self, memory_id: bytes) -> MemoryState | None:
        """Where a memory stands."""
        with mapped():
            found = self._database.execute(
                "SELECT state FROM memories WHERE memory_id = ?", (memory_id,)
            ).fetchone()
        return _state(found[0]) if found else None

    def states_of(self, memory_ids: Collection[bytes]) -> dict[bytes, MemoryState]:
        """Where these memories stand; those that are not here are left out."""
        wanted, found = list(memory_ids), {}
        for start in range(0, len(wanted), _ASKED):
            part = wanted[start : start + _ASKED]
            marks = ", ".join("?" * len(part))
            query = f"SELECT memory_id, state FROM memories WHERE memory_id IN ({marks})"  # noqa: S608 - question marks
            with mapped():
                rows = self._database.execute(query, part).fetchall()
            found.update({blob(memory_id): _state(state) for memory_id, state in rows})
        return found

    def states(self, *, pending: bool = False) -> list[tuple[bytes, MemoryState]]:
        """Every memory that is not deleted and has a current version, or those with proposals."""
        which = "pending > 0" if pending else "current > 0"
        query = f"SELECT memory_id, state FROM memories WHERE {which} ORDER BY memory_id"  # noqa: S608 - one of two constants
        with mapped():
            rows = self._database.execute(query).fetchall()
        return [(blob(memory_id), _state(state)) for memory_id, state in rows]

    def readable(self) -> dict[bytes, int]:
        """The current version of every memory whose record is here."""
        with mapped():
            rows = self._database.execute(
                "SELECT m.memory_id, m.current FROM memories m JOIN records r "
                "ON r.memory_id = m.memory_id AND r.version = m.current"
            ).fetchall()
        return {blob(memory_id): integer(version) for memory_id, version in rows}

    def record(self, memory_id: bytes, version: int) -> Record | None:
        """A version's record, if it is here."""
        with mapped():
            found = self._database.execute(
                "SELECT header, envelope, kek, wrap FROM records WHERE memory_id = ? "
                "AND version = ?",
                (memory_id, version),
            ).fetchone()
        return Record(*map(blob, found)) if found else None

    def standing(self, memory_ids: Sequence[bytes]) -> dict[bytes, tuple[MemoryState, Record]]:
        """Where memories stand, and their current versions; those without one here are left out."""
        places = ", ".join("?" * len(memory_ids))
        query = (
            "SELECT m.memory_id, m.state, r.header, r.envelope, r.kek, r.wrap FROM memories m "  # noqa: S608 - question marks
            "JOIN records r ON r.memory_id = m.memory_id AND r.version = m.current "
            f"WHERE m.memory_id IN ({places})"
        )
        with mapped():
            rows = self._database.execute(query, memory_ids).fetchall()
        return {blob(row[0]): (_state(row[1]), Record(*map(blob, row[2:]))) for row in rows}

    def current_records(self) -> Iterator[StoredRecord]:
        """The record of every current version, in order of memory id."""
        query = (
            f"SELECT {_FIELDS} FROM memories JOIN records USING (memory_id) "  # noqa: S608 - a constant
            "WHERE version = current AND current > 0 ORDER BY memory_id"
        )
        with mapped():
            for row in self._database.execute(query):
                yield StoredRecord(blob(row[0]), integer(row[1]), Record(*map(blob, row[2:])))

    def wanted(self, *, pending: bool = True) -> tuple[int, dict[tuple[bytes, int], Wanted]]:
        """The versions whose records are not here.

        Args:
            pending: also what waits for the owner.

        Returns:
            The lowest index of a log entry beside which one of them stands, and what is wanted by
            memory and version.
        """
        with mapped():
            rows = self._database.execute(
                "SELECT m.memory_id, m.state, r.memory_id IS NULL FROM memories m "
                "LEFT JOIN records r ON r.memory_id = m.memory_id AND r.version = m.current "
                "WHERE m.pending > 0 OR (m.current > 0 AND r.memory_id IS NULL)"
            ).fetchall()
        missing: dict[tuple[bytes, int], Wanted] = {}
        leaves = []
        for memory_id, body, lacks_current in rows:
            state = _state(body)
            if state.current and lacks_current:
                missing[memory_id, state.current] = Wanted(
                    state.digest, current=True, author=state.author
                )
                leaves.append(state.leaf)
            for item in state.pending if pending else ():
                if not item.deletion and self._lacks(memory_id, item.version):
                    missing[memory_id, item.version] = Wanted(
                        item.digest, current=False, author=item.app_id
                    )
                    leaves.append(item.leaf)
        return min(leaves, default=0), missing

    def _lacks(self, memory_id: bytes, version: int) -> bool:
        found = self._database.execute(
            "SELECT 1 FROM records WHERE memory_id = ? AND version = ?", (memory_id, version)
        ).fetchone()
        return found is None

    def is_empty(self) -> bool:
        """Whether no memory was ever here."""
        with mapped():
            return self._database.execute("SELECT 1 FROM memories LIMIT 1").fetchone() is None

    def count(self) -> int:
        """How many memories have a current version."""
        with mapped():
            found = self._database.execute("SELECT count(*) FROM memories WHERE current > 0")
            return int(found.fetchone()[0])

    def check(self) -> None:
        """Look through the whole file.

        Raises:
            StoreDamagedError: SQLite finds it damaged.
        """
        with mapped():
            if self._database.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise StoreDamagedError


def _flat(row: StoredRecord) -> tuple[bytes, int, bytes, bytes, bytes, bytes]:
    record = row.record
    return (row.memory_id, row.version, record.header, record.envelope, record.kek, record.wrap)


def _state(body: object) -> MemoryState:
    try:
        return _decode_state(blob(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise StoreDamagedError from None
