"""Somebody writes to a locked device's folder how memory keys are wrapped: no digest names that."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from adversary.test_key_changes import NEW, change
from coffret import Vault
from coffret_vault.errors import TrustError
from harness.network import Evil
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from harness.world import Owner, World


def _planted(world: World, owner: Owner, evil: Evil) -> Vault:
    """The device, with wraps that open nothing, opened and unlocked again."""
    owner.vault.remember("one")
    owner.vault.close()
    with closing(sqlite3.connect(owner.vault.folder / "store.db")) as database, database:
        database.execute("UPDATE records SET wrap = zeroblob(length(wrap))")
    around = world.around(transport=evil)
    vault: Vault = world.closing(Vault.open(owner.vault.folder, **around))
    vault.unlock(PASSPHRASE, owner.secret_key)
    return vault


@pytest.mark.attack(19, 49)
def test_planted_wraps_accuse_no_server(world: World) -> None:
    """Keys are changed by what the server has of them, and everything opens again."""
    vault = _planted(world, world.owner(), Evil())
    change(vault)
    assert [memory.content for memory in vault.list()] == ["one"]
    assert vault.evidence() == []


@pytest.mark.attack(2)
def test_wraps_that_open_nowhere_change_nothing(world: World) -> None:
    """Where the server has none that opens either, it is said, and the keys stay."""
    owner, evil = world.owner(), Evil()
    vault = _planted(world, owner, evil)

    def other_wraps(answer: list[list[list[bytes]]]) -> None:
        for key in answer[1]:
            key[3] = bytes(len(key[3]))

    evil.rewrite["/accounts/me/memory-keys"] = other_wraps
    with pytest.raises(TrustError, match="nothing was changed"):
        vault.change_keys(NEW, lambda _: None)
    assert [memory.content for memory in world.device(owner).list()] == ["one"]
