"""Somebody writes to a locked device's folder which keyslots its log is to name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coffret import Vault
from coffret_vault.store import Store
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from harness.world import Owner, World

PLANTS = {"none": b"", "another": b"x" * 32, "one more": b"x" * 96, "no digests": b"x" * 33}


def _planted(world: World, owner: Owner, plant: str) -> Vault:
    """The device, closed, with that planted, and opened and unlocked again."""
    owner.vault.close()
    store = Store(owner.vault.folder / "store.db")
    store.set_meta("slots", PLANTS[plant])
    store.close()
    vault: Vault = world.closing(Vault.open(owner.vault.folder, **world.around()))
    vault.unlock(PASSPHRASE, owner.secret_key)
    return vault


@pytest.mark.attack(19, 49)
@pytest.mark.parametrize("plant", PLANTS)
def test_planted_keyslots_accuse_no_server(world: World, plant: str) -> None:
    """What the log names is read from the log; the device syncs, and takes up what is new."""
    owner = world.owner()
    other = world.device(owner)
    vault = _planted(world, owner, plant)
    vault.sync()
    other.remember("one")
    vault.sync()
    other.change_passphrase(PASSPHRASE, "another", owner.secret_key)
    vault.sync()
    assert [memory.content for memory in vault.list()] == ["one"]
    assert vault.evidence() == []
    vault.lock()
    vault.unlock("another", owner.secret_key)
