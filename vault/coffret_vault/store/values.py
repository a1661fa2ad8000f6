"""Values under names: where a device stands, and what it is about to do."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from coffret_vault.store.known import VALUES, Known
from coffret_vault.store.schema import blob, durable, kept_value, mapped, transaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coffret_vault.store.database import Database

PUT_VALUE = "INSERT OR REPLACE INTO meta VALUES (?, ?)"


class Values:
    """The part of a store that keeps values under names."""

    def __init__(self, database: Database) -> None:
        """Use a store's open database."""
        self._database = database
        self.known = Known(database)

    def meta(self, name: str) -> bytes | None:
        """A value that was kept under ``name``."""
        return kept_value(self._database, name)

    def set_meta(self, name: str, value: bytes) -> None:
        """Keep a value under ``name``."""
        if name not in VALUES:
            with mapped():
                self._database.execute(PUT_VALUE, (name, value))
            return
        with self.known.change():
            self._put_values({name: value})

    def _put_values(self, values: Mapping[str, bytes]) -> None:
        """Keep values in a transaction of the caller, who seals what is known."""
        for name in VALUES & values.keys():
            before = self.meta(name)
            if before != values[name]:
                gone = () if before is None else ((name, before),)
                self.known.swap("values", gone, ((name, values[name]),))
        self._database.executemany(PUT_VALUE, values.items())

    def note(self, values: Mapping[str, bytes]) -> None:
        """Keep values under names, all or none, unless the keys are others by then.

        It outlasts a power cut.

        Raises:
            KeysChangedError: another process changed them, and took along what was noted.
            StoreAlteredError: what is known here was not written by this vault.
        """
        with durable(self._database), self.known.change():
            self.known.check()
            self._put_values(values)

    def claim(self, name: str, value: bytes, beside: Mapping[str, bytes] | None = None) -> bool:
        """Keep a value if there is none under ``name``, in one step; whether that was so.

        It outlasts a power cut from here on, with the values that are kept ``beside`` it and with
        all that was written before.
        """
        again = "UPDATE meta SET value = ? WHERE name = ? AND value = x''"
        first = "INSERT OR IGNORE INTO meta VALUES (?, ?)"
        with durable(self._database), transaction(self._database):
            done = self._database.execute(again, (value, name)).rowcount
            if not done and not self._database.execute(first, (name, value)).rowcount:
                return False
            if beside:
                self._database.executemany(PUT_VALUE, beside.items())
            return True

    def release(self, name: str, value: bytes, beside: Mapping[str, bytes] | None = None) -> bool:
        """Undo :meth:`claim`, if that very value is still there, and keep values ``beside`` that.

        Whether it was. It outlasts a power cut, unless the values are empty.
        """
        release = "UPDATE meta SET value = x'' WHERE name = ? AND value = ?"
        lasting = durable(self._database) if beside and any(beside.values()) else nullcontext()
        with lasting, transaction(self._database):
            if not self._database.execute(release, (name, value)).rowcount:
                return False
            if beside:
                self._database.executemany(PUT_VALUE, beside.items())
            return True

    def noted(self, beginning: str) -> dict[str, bytes]:
        """The values that are kept under names which begin so, but for empty ones."""
        query = "SELECT name, value FROM meta WHERE name >= ? AND name < ? AND value <> x''"
        with mapped():
            rows = self._database.execute(query, (beginning, beginning + "~")).fetchall()
        return {name: blob(value) for name, value in rows}
