"""Grants as the device keeps them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import msgspec

from coffret_vault.errors import FormatError, StoreDamagedError
from coffret_vault.formats.sharing import GRANT, MANIFEST, Grant, Manifest
from coffret_vault.store.schema import blob, data_version, decoded, integer, mapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from coffret_vault.formats.layout import Layout
    from coffret_vault.store.database import Database
    from coffret_vault.store.known import Known

T = TypeVar("T")


class GrantRow(msgspec.Struct, frozen=True):
    """A grant that the owner signed, with what the log said of it since.

    Attributes:
        grant: the signed statement.
        manifest: the app's signed manifest, pinned when the grant was made.
        owner_wrap: the grant's key, wrapped for the owner.
        generation: of the account key under which it is wrapped.
        request: the request's bytes, for its purpose text.
        state: ``active``, ``paused`` or ``revoked``, as the log says; ``activating`` on the device
            that approved it, while it hands over the keys.
        version: of the last entry about it.
        granted_at: index of the leaf that granted.
        revoked_at: index of the leaf that revoked; -1 before.
    """

    grant: bytes
    manifest: bytes
    owner_wrap: bytes
    generation: int
    request: bytes
    state: str
    version: int
    granted_at: int
    revoked_at: int = -1

    def statement(self) -> Grant:
        """The grant, parsed."""
        return _grant(self.grant)

    def app(self) -> Manifest:
        """The app, parsed."""
        return _manifest(self.manifest)


# A grant can name 65,536 memories, and is asked for each leaf and each memory that is written.
@lru_cache(maxsize=64)
def _grant(data: bytes) -> Grant:
    return _kept(GRANT, data)


# A manifest is small, and all of them are asked for each request that an owner looks at.
@lru_cache(maxsize=1_024)
def _manifest(data: bytes) -> Manifest:
    return _kept(MANIFEST, data)


def _kept(layout: Layout[T], data: bytes) -> T:
    """What was verified before it was kept: if it does not parse now, the file is damaged."""
    try:
        return layout.parse(data)
    except FormatError:
        raise StoreDamagedError from None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(GrantRow).decode
_ASKED = 500
"""How many memories are put into one query."""


class GrantTable:
    """Grants, and which memories each has a key for."""

    def __init__(self, database: Database, known: Known) -> None:
        """Use the store's open database, and the seal over what it knows."""
        self._database = database
        self._seal = known
        self._rows: dict[bytes, GrantRow] | None = None
        self._seen = (-1, 0)

    def put(self, row: GrantRow) -> None:
        """Keep a grant, replacing what was known of it."""
        with self._seal.change():
            self.put_rows((row,))

    def move(self, grant_id: bytes, before: str, after: str) -> None:
        """Bring a grant from one state into another, unless it left that one meanwhile."""
        with self._seal.change():
            row = self.get(grant_id)
            if row is not None and row.state == before:
                self.put_rows((msgspec.structs.replace(row, state=after),))

    def put_rows(self, rows: Iterable[GrantRow]) -> None:
        """Keep grants in a transaction of the caller, who seals what is known."""
        for row in rows:
            self._rows = None
            new = (row.statement().grant_id, _encode(row))
            query = "SELECT grant_id, body FROM grants WHERE grant_id = ?"
            gone = self._database.execute(query, new[:1]).fetchall()
            self._seal.swap("grants", gone, (new,))
            self._database.execute("INSERT OR REPLACE INTO grants VALUES (?, ?)", new)

    def get(self, grant_id: bytes) -> GrantRow | None:
        """A grant by its id."""
        return self._every().get(grant_id)

    def all(self) -> list[GrantRow]:
        """Every grant, oldest id first."""
        return list(self._every().values())

    def _every(self) -> dict[bytes, GrantRow]:
        """The grants by id, read again when they were changed here or the file elsewhere.

        SQLite's ``data_version`` moves when another connection commits, and for nothing of ours.
        It is read before the rows are, so that a change in between is noticed the next time.
        """
        if self._seal.aside:
            return {}
        version = (data_version(self._database), self._seal.turn)
        if self._rows is not None and version == self._seen:
            return self._rows
        self._seal.check()
        with mapped():
            found = self._database.execute(
                "SELECT grant_id, body FROM grants ORDER BY grant_id"
            ).fetchall()
        rows = {blob(grant_id): _row(body) for grant_id, body in found}
        # What is not committed yet may be taken back.
        self._rows, self._seen = None if self._database.in_transaction else rows, version
        return rows

    def add_wraps(self, grant_id: bytes, memories: Iterable[tuple[bytes, int]]) -> None:
        """Note that the grant holds the key with that number of each of these memories."""
        with self._seal.change():
            self.put_wraps([(grant_id, memory_id, number) for memory_id, number in memories])

    def put_wraps(self, wraps: Iterable[tuple[bytes, bytes, int]]) -> None:
        """Note ``(grant, memory, key number)`` in a transaction of the caller, who seals it."""
        new = {wrap[:2]: wrap for wrap in wraps}
        self._seal.swap("wraps", self._there(new), new.values())
        self._database.executemany("INSERT OR REPLACE INTO wraps VALUES (?, ?, ?)", new.values())

    def _there(self, pairs: Iterable[tuple[bytes, bytes]]) -> list[tuple[object, ...]]:
        """The rows of these grants and memories."""
        asked: dict[bytes, list[bytes]] = {}
        for grant_id, memory_id in pairs:
            asked.setdefault(grant_id, []).append(memory_id)
        found: list[tuple[object, ...]] = []
        for grant_id, memory_ids in asked.items():
            for start in range(0, len(memory_ids), _ASKED):
                part = memory_ids[start : start + _ASKED]
                query = (
                    "SELECT grant_id, memory_id, key_number FROM wraps "  # noqa: S608 - question marks
                    f"WHERE grant_id = ? AND memory_id IN ({', '.join('?' * len(part))})"
                )
                found += self._database.execute(query, (grant_id, *part)).fetchall()
        return found

    def settle(
        self, wraps: Iterable[tuple[bytes, bytes, int]], unwraps: Iterable[tuple[bytes, bytes]]
    ) -> None:
        """Note what a change gave to grants and took from them; see ``Store.commit``."""
        with self._seal.change():
            self.put_wraps(wraps)
            self.drop_wraps(unwraps)

    def drop_wraps(self, unwraps: Iterable[tuple[bytes, bytes]]) -> None:
        """Forget ``(grant, memory)`` in a transaction of the caller, who seals it."""
        pairs = list(unwraps)
        self._seal.swap("wraps", self._there(pairs), ())
        self._database.executemany("DELETE FROM wraps WHERE grant_id = ? AND memory_id = ?", pairs)

    def drop_memories(self, memory_ids: Iterable[bytes]) -> None:
        """Forget who holds keys of these, in a transaction of the caller, who seals it."""
        for memory_id in memory_ids:
            self.drop_wraps([(grant_id, memory_id) for grant_id in self._holders(memory_id)])

    def set_wraps(self, grant_id: bytes, memories: Mapping[bytes, int]) -> None:
        """Note that the grant holds the keys of these memories and of no others."""
        with self._seal.change():
            self.drop_wraps([(grant_id, memory_id) for memory_id in self._memories(grant_id)])
            self.put_wraps([(grant_id, *held) for held in memories.items()])

    def memories(self, grant_id: bytes) -> dict[bytes, int]:
        """The memories a grant holds a key of, with the key's number."""
        self._seal.check()
        return self._memories(grant_id)

    def _memories(self, grant_id: bytes) -> dict[bytes, int]:
        with mapped():
            rows = self._database.execute(
                "SELECT memory_id, key_number FROM wraps WHERE grant_id = ?", (grant_id,)
            ).fetchall()
        return {blob(memory_id): integer(key_number) for memory_id, key_number in rows}

    def holders(self, memory_id: bytes) -> dict[bytes, int]:
        """The grants that hold a key of a memory, with the key's number."""
        self._seal.check()
        return self._holders(memory_id)

    def _holders(self, memory_id: bytes) -> dict[bytes, int]:
        with mapped():
            rows = self._database.execute(
                "SELECT grant_id, key_number FROM wraps WHERE memory_id = ?", (memory_id,)
            ).fetchall()
        return {blob(grant_id): integer(key_number) for grant_id, key_number in rows}


def _row(body: object) -> GrantRow:
    return decoded(_decode, body)
