"""What the two seals of a store have in common: the one over what is known, and over memories.

Each keeps a note beside the rows that it is over, and refuses the rows where the note does not say
that this vault wrote them. A device whose rows are refused reads them again from the log; whether
somebody altered them, or an older Coffret never sealed them, is told by the note alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from coffret_vault.errors import StoreAlteredError
from coffret_vault.store.schema import kept_value, verify_schema

if TYPE_CHECKING:
    from coffret_vault.keyring import Keyring
    from coffret_vault.primitives.symmetric import Random
    from coffret_vault.store.database import Database

SYNC = "Sync this device: it reads them again from your log. See that nobody else can write there."
GENERATION_BYTES = 8


class Sealing(NamedTuple):
    """What seals: the keys, the owner's public key under which the newest head is, randomness."""

    keyring: Keyring
    owner: bytes
    random: Random


class Seal(ABC):
    """A seal over rows of a store. Without keys there is none to check, or to make."""

    def __init__(self, database: Database, name: str) -> None:
        """Use the store's open database, where the note is kept under this name."""
        self._database = database
        self._name = name

    @property
    @abstractmethod
    def sealing(self) -> Sealing | None:
        """What seals, while there are keys."""

    @abstractmethod
    def check(self, version: int | None = None) -> None:
        """See that this vault wrote the rows; again when others wrote.

        Args:
            version: the database's, if it was just asked for.

        Raises:
            StoreAlteredError: it did not, or there is no seal that could say so.
            StoreDamagedError: rows are hidden from some queries, and not from others.
            KeysChangedError: another process of this device changed the keys.
        """

    def is_lost(self, version: int | None = None) -> bool:
        """Whether the rows have to be read again, because :meth:`check` refuses them.

        Raises:
            StoreAlteredError: there are other tables than ours, which reading again would not mend.
        """
        try:
            self.check(version)
        except StoreAlteredError:
            verify_schema(self._database)
            return True
        return False

    def was_altered(self) -> bool:
        """Whether there is a seal of these keys or a forged one: not that of an older Coffret."""
        found, sealing = self._found(), self.sealing
        if not found or sealing is None:
            return False
        return generation_of(found) >= sealing.keyring.generation

    def _found(self) -> bytes:
        """The note as it is kept; empty where there is none."""
        return kept_value(self._database, self._name) or b""


def generation_of(note: bytes) -> int:
    """Of which keys a seal is: every note begins with that."""
    return int.from_bytes(note[:GENERATION_BYTES], "big")
