"""Where memories stand on a device, and their records: what is read, and compared before it counts.

The rows of where they stand are sealed (:mod:`coffret_vault.store.states`), and say what a record's
digest is. So nothing here is believed because it lies in the folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from coffret_vault.errors import StoreAlteredError, StoreDamagedError
from coffret_vault.formats.memory import Record
from coffret_vault.log.replay import MemoryState
from coffret_vault.store.schema import blob, decoded, integer, mapped
from coffret_vault.store.seals import SYNC
from coffret_vault.store.states import ALTERED, StateSeal
from coffret_vault.store.values import Values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from coffret_vault.store.database import Database


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


_decode_state = msgspec.msgpack.Decoder(MemoryState).decode
_ASKED = 500
"""How many values are put into one query."""


class Memories(Values):
    """The part of a store that reads where memories stand, and their records.

    Each method raises StoreAlteredError where what it would give was not written by this vault.
    """

    def __init__(self, database: Database) -> None:
        """Use a store's open database."""
        super().__init__(database)
        self.changes = 0
        """Counts what was written here, for those who keep something made from it."""
        self.state_seal = StateSeal(database, self.known)

    def state(self, memory_id: bytes) -> MemoryState | None:
        """Where a memory stands."""
        self.state_seal.check()
        with mapped():
            found = self._database.execute(
                "SELECT state FROM memories WHERE memory_id = ?", (memory_id,)
            ).fetchone()
        return _state(found[0]) if found else None

    def states_of(
        self, memory_ids: Collection[bytes], *, checked: bool = False
    ) -> dict[bytes, MemoryState]:
        """Where these memories stand; those that are not here are left out.

        Args:
            memory_ids: which.
            checked: whether the seals were, and are again before what is made of this is kept.
        """
        if not checked:
            self.state_seal.check()
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
        self.state_seal.check()
        which = "pending > 0" if pending else "current > 0"
        query = f"SELECT memory_id, state FROM memories WHERE {which} ORDER BY memory_id"  # noqa: S608 - one of two constants
        with mapped():
            rows = self._database.execute(query).fetchall()
        return [(blob(memory_id), _state(state)) for memory_id, state in rows]

    def readable(self) -> dict[bytes, int]:
        """The current version of every memory whose record is here."""
        self.state_seal.check()
        with mapped():
            rows = self._database.execute(
                "SELECT m.memory_id, m.current FROM memories m JOIN records r "
                "ON r.memory_id = m.memory_id AND r.version = m.current"
            ).fetchall()
        return {blob(memory_id): integer(version) for memory_id, version in rows}

    def record(self, memory_id: bytes, version: int) -> Record | None:
        """A version's record, if it is here and is one that counts, or that the owner is to see."""
        self.state_seal.check()
        with mapped():
            found = self._database.execute(
                "SELECT r.header, r.envelope, r.kek, r.wrap, m.state FROM records r "
                "LEFT JOIN memories m ON m.memory_id = r.memory_id "
                "WHERE r.memory_id = ? AND r.version = ?",
                (memory_id, version),
            ).fetchone()
        if found is None:
            return None
        record = self._whole(found[:4])
        if self.known.sealing is None:
            return record
        return record if found[4] and self._is_named(_state(found[4]), version, record) else None

    def lying(self, memory_id: bytes, version: int) -> Record | None:
        """A version's record as it lies here, compared with nothing; None if that is none."""
        query = (
            "SELECT header, envelope, kek, wrap FROM records WHERE memory_id = ? AND version = ?"
        )
        with mapped():
            found = self._database.execute(query, (memory_id, version)).fetchone()
        try:
            return None if found is None else Record(*map(blob, found))
        except StoreDamagedError:
            return None

    def standing(self, memory_ids: Sequence[bytes]) -> dict[bytes, tuple[MemoryState, Record]]:
        """Where memories stand, and their current versions; those without one here are left out."""
        self.state_seal.check()
        places = ", ".join("?" * len(memory_ids))
        query = (
            "SELECT m.memory_id, m.state, r.header, r.envelope, r.kek, r.wrap FROM memories m "  # noqa: S608 - question marks
            "JOIN records r ON r.memory_id = m.memory_id AND r.version = m.current "
            f"WHERE m.memory_id IN ({places})"
        )
        with mapped():
            rows = self._database.execute(query, memory_ids).fetchall()
        found = {blob(row[0]): (_state(row[1]), self._whole(row[2:])) for row in rows}
        for state, record in found.values():
            self._is_named(state, state.current, record)
        return found

    def current_records(self) -> Iterator[StoredRecord]:
        """The record of every current version, in order of memory id."""
        return (record for record, _ in self.current())

    def current(self) -> Iterator[tuple[StoredRecord, MemoryState]]:
        """The same, each with where its memory stands."""
        self.state_seal.check()
        query = (
            "SELECT memory_id, version, header, envelope, kek, wrap, state "
            "FROM memories JOIN records USING (memory_id) "
            "WHERE version = current AND current > 0 ORDER BY memory_id"
        )
        with mapped():
            for row in self._database.execute(query):
                record = self._whole(row[2:6])
                memory = _state(row[6])
                self._is_named(memory, row[1], record)
                yield StoredRecord(blob(row[0]), integer(row[1]), record), memory

    def _whole(self, parts: Sequence[object]) -> Record:
        """A record of its four parts.

        Raises:
            StoreAlteredError: they are no bytes. All such are taken away, to be fetched again.
            StoreDamagedError: so it is, and the vault is locked.
        """
        try:
            return Record(*map(blob, parts))
        except StoreDamagedError:
            if self.known.sealing is None:
                raise
            self._drop_others()
            raise StoreAlteredError(ALTERED, hint=SYNC) from None

    def _is_named(self, state: MemoryState, version: int, record: Record) -> bool:
        """Whether a version is one that the log still names; its record is then that very one.

        Raises:
            StoreAlteredError: it is another. All such are taken away, to be fetched again.
        """
        if self.known.sealing is None:
            return True
        digest = _named(state, version)
        if digest is not None and digest != record.digest:
            self._drop_others()
            raise StoreAlteredError(ALTERED, hint=SYNC)
        return digest is not None

    def _drop_others(self, kek: bytes | None = None) -> None:
        """Delete the records that are not what the log names, or are none: all, or under one kek.

        Those of a memory that stands nobody knows where are left: it is read from the log again.
        """
        self.changes += 1
        query = (
            "SELECT r.memory_id, r.version, r.header, r.envelope, r.kek, r.wrap, m.state "
            "FROM records r LEFT JOIN memories m ON m.memory_id = r.memory_id "
            "WHERE :kek IS NULL OR r.kek = :kek"
        )
        with mapped():
            others = [
                (memory_id, version)
                for memory_id, version, *parts, state in self._database.execute(query, {"kek": kek})
                if state is None or _is_another(state, version, parts)
            ]
            self._database.executemany(
                "DELETE FROM records WHERE memory_id = ? AND version = ?", others
            )

    def wanted(self, *, pending: bool = True) -> tuple[int, dict[tuple[bytes, int], Wanted]]:
        """The versions whose records are not here.

        Args:
            pending: also what waits for the owner.

        Returns:
            The lowest index of a log entry beside which one of them stands, and what is wanted by
            memory and version.
        """
        self.state_seal.check()
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
        self.state_seal.check()
        with mapped():
            return self._database.execute("SELECT 1 FROM memories LIMIT 1").fetchone() is None

    def count(self) -> int:
        """How many memories have a current version."""
        self.state_seal.check()
        with mapped():
            found = self._database.execute("SELECT count(*) FROM memories WHERE current > 0")
            return int(found.fetchone()[0])


def _named(state: MemoryState, version: int) -> bytes | None:
    """The digest of a version that is current, or that an app proposed; None of any other."""
    if version == state.current:
        return state.digest
    return next((item.digest for item in state.proposals if item.version == version), None)


def _is_another(body: object, version: int, parts: Sequence[object]) -> bool:
    """Whether what lies here of a version is not its record, nor any; if the state can be read."""
    try:
        state = _state(body)
    except StoreDamagedError:
        return False
    try:
        return _named(state, version) != Record(*map(blob, parts)).digest
    except StoreDamagedError:
        return True


def _state(body: object) -> MemoryState:
    return decoded(_decode_state, body)
