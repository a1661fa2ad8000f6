"""Grants as the device keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.errors import StoreDamagedError
from coffret_vault.formats.sharing import GRANT, MANIFEST, Grant, Manifest
from coffret_vault.store.schema import mapped, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping


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
        return GRANT.parse(self.grant)

    def app(self) -> Manifest:
        """The app, parsed."""
        return MANIFEST.parse(self.manifest)


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
            self._database.executemany(
                "INSERT OR REPLACE INTO wraps VALUES (?, ?, ?)",
                ((grant_id, memory_id, number) for memory_id, number in memories),
            )

    def set_wraps(self, grant_id: bytes, memories: Mapping[bytes, int]) -> None:
        """Note that the grant holds the keys of these memories and of no others."""
        with transaction(self._database):
            self._database.execute("DELETE FROM wraps WHERE grant_id = ?", (grant_id,))
            self._database.executemany(
                "INSERT INTO wraps VALUES (?, ?, ?)",
                ((grant_id, memory_id, number) for memory_id, number in memories.items()),
            )

    def remove_wraps(self, grant_id: bytes, memories: Iterable[bytes]) -> None:
        """Note that the grant holds no key of these memories any more."""
        with transaction(self._database):
            self._database.executemany(
                "DELETE FROM wraps WHERE grant_id = ? AND memory_id = ?",
                ((grant_id, memory_id) for memory_id in memories),
            )

    def memories(self, grant_id: bytes) -> dict[bytes, int]:
        """The memories a grant holds a key of, with the key's number."""
        with mapped():
            rows = self._database.execute(
                "SELECT memory_id, key_number FROM wraps WHERE grant_id = ?", (grant_id,)
            ).fetchall()
        return dict(rows)

    def holders(self, memory_id: bytes) -> Iterator[bytes]:
        """The grants that hold a key of a memory."""
        with mapped():
            rows = self._database.execute(
                "SELECT grant_id FROM wraps WHERE memory_id = ?", (memory_id,)
            ).fetchall()
        return (grant_id for (grant_id,) in rows)


def _row(body: bytes) -> GrantRow:
    try:
        return _decode(body)
    except msgspec.MsgspecError:
        raise StoreDamagedError from None
