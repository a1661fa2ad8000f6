"""A vault whose server writes into its own database, and what its owner and app are shown."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

from coffret_vault.errors import CoffretError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret import Vault
    from harness.database import Database, Row
    from harness.world import World


class Stage:
    """An owner whose whole vault lies with a server that writes into its database."""

    def __init__(self, world: World, database: Database) -> None:
        """Memories of every kind, a grant, a proposal, and a device that knows it all."""
        self.world, self.database = world, database
        self.owner, self.app, self.other = world.owner(), world.app(), world.owner()
        self.other.vault.remember("another's", title="Another's", tags=["t"], importance=0.5)
        vault = self.owner.vault
        first = vault.remember("first", title="Title", tags=["t"], importance=0.5)
        vault.update(first.id, content="first, changed")
        vault.remember("second", title="Hidden", tags=["t"], sealed=True)
        vault.forget(vault.remember("third").id)
        vault.set_settings(sealed=True)
        vault.set_settings(sealed=False)
        world.granted(self.other, self.app, tags=["t"])
        _, self.access = world.granted(self.owner, self.app, tags=["t"])
        self.access.remember("by the app")
        vault.sync()
        self.access.update(first.id, content="proposed by the app")
        self.old = world.device(self.owner)
        self.honest = view(self.old)
        self.written = {"first", "first, changed", "second", "by the app", "proposed by the app"}

    def fresh(self) -> Any:
        """What a device that has just entered shows, or None where it refuses."""
        try:
            device = self.world.device(self.owner)
        except CoffretError:
            return None
        shown = view(device)
        assert proposals(device) <= self.written
        device.close()
        return shown

    def stale(self) -> Any:
        """What the device that knows it all shows after a sync, or None where it refuses."""
        try:
            self.old.sync()
        except CoffretError:
            return None
        return view(self.old)

    def read(self) -> set[str]:
        """What the app reads; nothing where it refuses."""
        try:
            return {memory.content for memory in self.access.memories()}
        except CoffretError:
            return set()

    def fools_nobody(self, tables: dict[str, Sequence[Row]]) -> bool:
        """Devices refuse these rows, or show what they honestly would; an app no more than that.

        Returns:
            False where the database itself does not take the rows.
        """
        try:
            with self.database.holding(tables):
                assert self.fresh() in (None, self.honest)
                assert self.stale() in (None, self.honest)
                assert self.read() <= self.written
        except sqlite3.IntegrityError:
            return False
        return True


def view(vault: Vault) -> list[Any]:
    """What an owner is shown of a vault. How many memories a grant covers is the server's word."""
    grants = [msgspec.structs.replace(grant, memories=0) for grant in vault.grants()]
    status = vault.status()
    waiting = [msgspec.structs.replace(item, proposed=None) for item in vault.pending()]
    return [
        sorted(vault.list(), key=lambda memory: memory.id),
        sorted(waiting, key=lambda item: (item.memory_id, item.version)),
        grants,
        vault.settings(),
        (status.fingerprint, status.entries, status.head, status.memories, status.pending),
    ]


def proposals(vault: Vault) -> set[str]:
    """What apps wrote, as far as it opens; what does not open is shown as such."""
    return {item.proposed.content for item in vault.pending() if item.proposed is not None}
