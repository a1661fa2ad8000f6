"""A device whose folder somebody writes to while it is locked, and what it shows of memories."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from coffret import Vault
from coffret_vault.store.memories import Memories
from coffret_vault.store.states import StateSeal
from coffret_vault.store.store import Store
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.world import World

    Plant = Callable[[sqlite3.Connection, "Stage"], None]
    Copy = dict[str, list[tuple[object, ...]]]

TABLES = ("memories", "records")
_SEAL = "SELECT name, value FROM meta WHERE name = 'states'"


class Stage:
    """An owner with a memory of two versions, others, one deleted, and one that an app proposed."""

    def __init__(self, world: World) -> None:
        """Make them, and keep a copy of the device's tables before the last changes."""
        self.world, self.owner = world, world.owner()
        vault = self.owner.vault
        self.changed = vault.remember("first").id
        self.other = vault.remember("other").id
        self.deleted = vault.remember("deleted").id
        self.grant_id, self.access = world.granted(self.owner, world.app())
        self.before = self.copy()
        vault.update(self.changed, content="second")
        vault.forget(self.deleted)
        self.proposed = self.access.remember("proposed").id
        self.access.update(self.other, content="worse")
        vault.sync()
        self.truth = shown(vault)

    def copy(self) -> Copy:
        """What stands on the device now, with its seal, as a thief keeps it."""
        folder = self.world.face.unwrapped(self.owner.vault).folder
        with closing(sqlite3.connect(folder / "store.db")) as database:
            found = {
                table: database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - one of two
                for table in TABLES
            }
            return found | {"meta": database.execute(_SEAL).fetchall()}

    def planted(self, plant: Plant) -> Vault:
        """The device, closed, with something planted, and opened and unlocked again."""
        folder = self.world.face.unwrapped(self.owner.vault).folder
        self.owner.vault.close()
        with closing(sqlite3.connect(folder / "store.db")) as database, database:
            plant(database, self)
        return self.opened()

    def opened(self) -> Vault:
        """One more process of the device, unlocked."""
        folder = self.world.face.unwrapped(self.owner.vault).folder
        vault: Vault = self.world.closing(Vault.open(folder, **self.world.around()))
        vault.unlock(PASSPHRASE, self.owner.secret_key)
        return vault


def shown(vault: Vault) -> tuple[object, ...]:
    """All that an owner is shown of memories."""
    memories = sorted((m.id, m.version, m.content, m.review.status) for m in vault.list())
    waiting = sorted((item.memory_id, item.version, item.deletion) for item in vault.pending())
    return memories, waiting, sorted(vault.memory_ids())


@contextmanager
def comparing_nothing() -> Iterator[None]:
    """A client that does not compare what it reads with the log's digests."""
    with patch.object(Memories, "_is_named", lambda *_: True):
        yield


@contextmanager
def believing() -> Iterator[None]:
    """A device of before: where memories stand is as its folder says."""
    with ExitStack() as weaker:
        weaker.enter_context(patch.object(StateSeal, "check", lambda *_: None))
        weaker.enter_context(comparing_nothing())
        weaker.enter_context(patch.object(Store, "_check_leaves", lambda *_: None))
        yield
