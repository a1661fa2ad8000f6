"""Grants as the device keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from coffret_vault.errors import FormatError, StoreDamagedError
from coffret_vault.formats.sharing import GRANT, MANIFEST, Grant, Manifest
from coffret_vault.store.schema import blob, integer, mapped, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from coffret_vault.formats.layout import Layout

T = TypeVar("T")


class GrantRow(msgspec.Struct, frozen=True):
    """A grant that the owner signed, with what the log said of it since.

    Attributes:
        grant: the signed statement.
        manifest: the app's signed manifest, pinned when the grant was made.
        owner_wrap: the grant's key, wrapped for the owner.
        generation: of the account key under which it is wrapped.
        request: the request's bytes, for its purpose text.
        state: ``active``, ``paused`` or ``revoked``, as the log says.
        version: of the last entry about it.
        since: index of the leaf that granted, and of the one that revoked (-1 before).
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
        return _kept(GRANT, self.grant)

    def app(self) -> Manifest:
        """The app, parsed."""
        return _kept(MANIFEST, self.manifest)


def _kept(layout: Layout[T], data: bytes) -> T:
    """What was verified before it was kept: if it does not parse now, the file is damaged."""
    try:
        return layout.parse(data)
    except FormatError:
        raise StoreDamagedError from None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(GrantRow).decode


class GrantTable:
    """Grants, and which memories each has a key for."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Use the store's open database."""
        self._database = database

    def put(self, row: GrantRow) -> None:
        """Keep a grant, replacing what was known of it."""
        with mapped():
            self._database.execute(
                "INSERT OR REPLACE INTO grants VALUES (?, ?)",
                (row.statement().grant_id, _encode(row)),
            )

    def get(self, grant_id: bytes) -> GrantRow | None:
        """A grant by its id."""
        with mapped():
            found = self._database.execute(
                "SELECT body FROM grants WHERE grant_id = ?", (grant_id,)
            ).fetchone()
        return _row(found[0]) if found else None

    def all(self) -> list[GrantRow]:
        """Every grant, oldest id first."""
        with mapped():
            rows = self._database.execute("SELECT body FROM grants ORDER BY grant_id").fetchall()
        return [_row(body) for (body,) in rows]

    def add_wraps(self, grant_id: bytes, memories: Iterable[tuple[bytes, int]]) -> None:
        """Note that the grant holds the key with that number of each of these memories."""
        with transaction(self._database):
            self.put_wraps((grant_id, memory_id, number) for memory_id, number in memories)

    def put_wraps(self, wraps: Iterable[tuple[bytes, bytes, int]]) -> None:
        """Note ``(grant, memory, key number)`` in a transaction of the caller."""
        self._database.executemany("INSERT OR REPLACE INTO wraps VALUES (?, ?, ?)", wraps)

    def settle(
        self, wraps: Iterable[tuple[bytes, bytes, int]], unwraps: Iterable[tuple[bytes, bytes]]
    ) -> None:
        """Note what a change gave to grants and took from them; see ``Store.commit``."""
        with transaction(self._database):
            self.put_wraps(wraps)
            self.drop_wraps(unwraps)

    def drop_wraps(self, unwraps: Iterable[tuple[bytes, bytes]]) -> None:
        """Forget ``(grant, memory)`` in a transaction of the caller."""
        self._database.executemany(
            "DELETE FROM wraps WHERE grant_id = ? AND memory_id = ?", unwraps
        )

    def set_wraps(self, grant_id: bytes, memories: Mapping[bytes, int]) -> None:
        """Note that the grant holds the keys of these memories and of no others."""
        with transaction(self._database):
            self._database.execute("DELETE FROM wraps WHERE grant_id = ?", (grant_id,))
            self._database.executemany(
                "INSERT INTO wraps VALUES (?, ?, ?)",
                ((grant_id, memory_id, number) for memory_id, number in memories.items()),
            )

    def memories(self, grant_id: bytes) -> dict[bytes, int]:
        """The memories a grant holds a key of, with the key's number."""
        with mapped():
            rows = self._database.execute(
                "SELECT memory_id, key_number FROM wraps WHERE grant_id = ?", (grant_id,)
            ).fetchall()
        return {blob(memory_id): integer(key_number) for memory_id, key_number in rows}

    def holders(self, memory_id: bytes) -> dict[bytes, int]:
        """The grants that hold a key of a memory, with the key's number."""
        with mapped():
            rows = self._database.execute(
                "SELECT grant_id, key_number FROM wraps WHERE memory_id = ?", (memory_id,)
            ).fetchall()
        return {blob(grant_id): integer(key_number) for grant_id, key_number in rows}


def _row(body: object) -> GrantRow:
    try:
        return _decode(blob(body))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StoreDamagedError from None
