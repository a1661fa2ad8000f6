"""The device's copy of a vault. Every change is one transaction; nothing in it is opened."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.errors import (
    FormatError,
    StoreAlteredError,
    StoreDamagedError,
    StoreError,
    StoreMovedError,
)
from coffret_vault.formats.memory import Record
from coffret_vault.log.tree import Frontier
from coffret_vault.log.verify import Position, Verified
from coffret_vault.store.grants import GrantRow, GrantTable
from coffret_vault.store.known import LOG
from coffret_vault.store.mark import Mark, parse_mark
from coffret_vault.store.memories import Memories, StoredRecord
from coffret_vault.store.schema import (
    blob,
    connect,
    data_version,
    durable,
    integer,
    mapped,
    one_moment,
    transaction,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from coffret_vault.log.replay import MemoryState
    from coffret_vault.store.seals import Sealing

_encode = msgspec.msgpack.Encoder().encode
_PUT_RECORDS = "INSERT OR REPLACE INTO records VALUES"
_PUT_RECORD = f"{_PUT_RECORDS} (?, ?, ?, ?, ?, ?)"
_STANDS = f"SELECT 1 WHERE ? = coalesce((SELECT value FROM meta WHERE name = '{LOG}'), x'')"  # noqa: S608 - a constant
_TAKE_AWAY = (
    "DELETE FROM records WHERE memory_id = ? AND version = ? AND header = ? AND envelope = ? "
    "AND kek = ? AND wrap = ?"
)
_NOT_THE_LOG = "the log on this device was changed, not by this vault; nothing was done by it"
_ENTER_ANEW = "Log in on this device again, in another folder, and leave this one behind."
_FIELDS = "memory_id, version, header, envelope, kek, wrap"


class Store(Memories):
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
        super().__init__(connect(path))
        self.grants = GrantTable(self._database, self.known)
        self._newest: tuple[bytes, Mark] | None = None
        self._proved = -1

    def hold(self, sealing: Sealing) -> None:
        """Check what is here from now on, with these keys, before it is used."""
        self.known.hold(sealing)

    def let_go(self) -> None:
        """Forget the keys, when what another thread is writing is written and sealed."""
        with self.alone():
            self.known.let_go()
            self.state_seal.let_go()
            self._proved = -1

    def check_seals(self) -> None:
        """See that this vault wrote what is known here, and where memories stand.

        Raises:
            StoreAlteredError: it did not, or there are no seals that could say so.
            StoreDamagedError: rows are hidden from some queries, and not from others.
            KeysChangedError: another process of this device changed the keys.
        """
        version = data_version(self._database)
        self.known.check(version)
        self.state_seal.check(version)

    def is_lost(self) -> bool:
        """Whether :meth:`check_seals` refuses it, so that it has to be read again.

        Raises:
            StoreAlteredError: there are other tables than ours, which reading again would not mend.
        """
        version = data_version(self._database)
        return self.known.is_lost(version) or self.state_seal.is_lost(version)

    def altered(self) -> str:
        """What somebody changed here, named; nothing where the seals are of an older Coffret."""
        parts = ("grants or settings", self.known), ("memories", self.state_seal)
        return " and ".join(name for name, part in parts if part.is_lost() and part.was_altered())

    def alone(self) -> AbstractContextManager[bool]:
        """Keep other threads waiting until the block is left."""
        return self._database.turn

    def version(self) -> tuple[int, int]:
        """Differs whenever something was written, here or by another program."""
        return self.changes, data_version(self._database)

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

    def stand(self) -> bytes:
        """Differs wherever the log here moved on; for those who ask a server in between."""
        return self.meta(LOG) or b""

    def _mark(self, kept: bytes) -> Mark:
        """What is kept of the log, read once: it is asked for a few times a change."""
        if self._newest is None or self._newest[0] != kept:
            self._newest = kept, parse_mark(kept)
        return self._newest[1]

    def commit(
        self,
        verified: Verified,
        records: Iterable[StoredRecord] = (),
        grants: Iterable[GrantRow] = (),
        *,
        wraps: Iterable[tuple[bytes, bytes, int]] = (),
        unwraps: Iterable[tuple[bytes, bytes]] = (),
        meta: Mapping[str, bytes] | Callable[[], Mapping[str, bytes]] | None = None,
        sealing: Sealing | None = None,
    ) -> bytes:
        """Take what was verified, and all that goes with it, or nothing of it.

        Args:
            verified: new entries, and the position after them.
            records: of versions that count, or that wait for the owner.
            grants: as they are after the entries.
            wraps: ``(grant, memory, key number)``: keys that grants hold from now on.
            unwraps: ``(grant, memory)``: keys that they hold no longer.
            meta: values to keep under names; or what gives them, while nobody else writes here.
            sealing: what seals that which is known from now on, where the keys were changed.

        Where what is known was set aside, this takes its place.

        Returns:
            How the log stands then (:meth:`stand`).

        Raises:
            StoreMovedError: the store has moved on since the entries were verified against it.
            LockedError: the keys that seal what is here were forgotten meanwhile.
        """
        position = verified.position
        if position.head is None:
            message = "nothing is verified before the first head"
            raise FormatError(message)
        mark = Mark(position.head, position.frontier.copy(), position.tail)
        kept = mark.pack()
        anew = self.known.aside
        self.changes += 1
        with self.alone():
            with transaction(self._database):
                if verified.first != self.size():
                    raise StoreMovedError
                self.known.begin()
                self.check_seals()  # while log and position still agree
                values = meta() if callable(meta) else meta or {}
                self.state_seal.begin()
                if anew:
                    self.known.forget_all()
                    self.state_seal.forget()
                leaves = list(enumerate(verified.leaves, verified.first))
                self._database.insert("INSERT INTO leaves VALUES", leaves)
                self._put_states(verified.states, verified.first)
                self._database.executemany(_PUT_RECORD, map(_flat, records))
                self.grants.put_rows(grants)
                if wraps:
                    self.grants.put_wraps(wraps)
                if unwraps:
                    self.grants.drop_wraps(unwraps)
                seal = self.state_seal.sealed(kept, sealing)
                self._put_values({**values, LOG: kept, **seal})
                if anew or sealing is not None:
                    self.known.renew(sealing)
                self.known.finish(mark.size)
            self.state_seal.settle()
            self._newest = kept, mark
        return kept

    def _put_states(self, states: dict[bytes, MemoryState], first: int) -> None:
        rows = [
            (memory_id, state.current, len(state.pending), _encode(state))
            for memory_id, state in states.items()
        ]
        # Of a memory that began with these entries there is no row.
        before = [item[0] for item in states.items() if item[1].newest > 1 or item[1].begun < first]
        self.state_seal.swap(before, rows)
        self._database.insert("INSERT OR REPLACE INTO memories VALUES", rows)
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

    def put_records(self, records: Iterable[StoredRecord], stood: bytes) -> None:
        """Keep records whose digests were compared with the log as it stood (:meth:`stand`).

        None where it moved on: another process of this device may have deleted their memories, or
        wrapped their keys anew, and what it took away is not put back.
        """
        self.changes += 1
        with transaction(self._database):
            if self.stand() == stood:
                self._database.executemany(_PUT_RECORD, map(_flat, records))

    def put_records_soon(self, records: Iterable[StoredRecord], stood: bytes) -> None:
        """As :meth:`put_records`, while the caller goes on.

        Whatever is asked of the store next waits for them, and raises what befell them.
        """
        self.changes += 1
        with mapped():
            self._database.insert_soon(_PUT_RECORDS, list(map(_flat, records)), (_STANDS, stood))

    def take_away(self, records: Iterable[StoredRecord]) -> None:
        """Delete records, to be fetched again; what lies in the place of one by now stays.

        Raises:
            KeysChangedError: another process changed the keys, and these may open by the new ones.
        """
        self.changes += 1
        with self.alone(), transaction(self._database):
            self.state_seal.check()
            self._database.executemany(_TAKE_AWAY, map(_flat, records))

    def records_under(self, kek: bytes) -> list[StoredRecord]:
        """The records whose memory key is wrapped under what this ``kek`` names.

        What lies here and is none that the log names is deleted: its key is nobody's to wrap anew,
        and stands in no way of those that are.
        """
        self._drop_others(kek)
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
            anew: seal all that is here; this device has just made it, and set it aside meanwhile.
        """
        self.changes += 1
        with durable(self._database), transaction(self._database):
            self._database.executemany(_PUT_RECORD, map(_flat, records))
            self.known.begin()
            self._put_values(meta)
            if anew:
                self._put_values(self.state_seal.sealed(self.meta(LOG) or b"", self.known.sealing))
                self.known.renew()
            self.known.finish()

    def leave_nothing(self) -> None:
        """Have what was replaced or deleted stand in no file of the store any more.

        Until then the write-ahead log has it, or the file that this is to be written into. Where
        other processes read just now it is left to whoever closes the store last.
        """
        with suppress(StoreError), mapped():
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def leaf(self, index: int) -> bytes | None:
        """A leaf of the log.

        Raises:
            StoreAlteredError: the leaves here are not those that were verified.
        """
        self._check_leaves()
        with mapped():
            found = self._database.execute(
                "SELECT leaf FROM leaves WHERE at = ?", (index,)
            ).fetchone()
        return blob(found[0]) if found else None

    def _check_leaves(self) -> None:
        """See that the leaves are those of the position; again when others wrote.

        It takes some microseconds each, and only who looks one up needs it: not every unlocking.
        """
        if self.known.sealing is None or self.known.aside:
            return
        with self.alone():
            self.state_seal.check()  # the position is sealed with where memories stand
            if self._proved != self.state_seal.seen:
                self.kept_leaves()
                self._proved = self.state_seal.seen

    def kept_leaves(self) -> list[bytes]:
        """Every leaf, compared with the position.

        They are those of the position, which is itself proved by the next head that verifies upon
        it.

        Raises:
            StoreAlteredError: they are others.
        """
        with one_moment(self._database):
            kept = [leaf for _, leaf in self.leaves()]
            log = self.meta(LOG)
        mark = None if log is None else self._mark(log)
        covered = 0 if mark is None else mark.frontier.size
        frontier, tail = Frontier(), () if mark is None else mark.tail
        for leaf in kept[:covered]:
            frontier.append(leaf)
        before = b"" if mark is None else mark.frontier.serialize()
        same = frontier.size == covered and frontier.serialize() == before
        if not same or tuple(kept[covered:]) != tail:
            raise log_was_changed()
        return kept

    def leaves(self, first: int = 0, count: int = -1) -> Iterator[tuple[int, bytes]]:
        """Leaves from ``first`` on with their indexes; all of them when ``count`` is -1."""
        with mapped():
            rows = self._database.execute(
                "SELECT at, leaf FROM leaves WHERE at >= ? ORDER BY at LIMIT ?", (first, count)
            ).fetchall()
        return ((integer(at), blob(leaf)) for at, leaf in rows)

    def check(self) -> None:
        """Look through the whole file.

        Raises:
            StoreDamagedError: SQLite finds it damaged.
        """
        with mapped():
            if self._database.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise StoreDamagedError


def log_was_changed() -> StoreAlteredError:
    """What is raised where the entries here are not those that were verified."""
    return StoreAlteredError(_NOT_THE_LOG, hint=_ENTER_ANEW)


def _flat(row: StoredRecord) -> tuple[bytes, int, bytes, bytes, bytes, bytes]:
    record = row.record
    return (row.memory_id, row.version, record.header, record.envelope, record.kek, record.wrap)
