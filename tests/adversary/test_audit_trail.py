"""Each entry of a log removed, altered or exchanged: refused, and the entry can be named."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret_vault.errors import CoffretError, TrustError
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.log.tree import Frontier, inclusion_proof, leaf_hash, root_of, verify_inclusion
from harness.flipping import flipped
from harness.network import Evil, updating

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Vault
    from harness.world import Owner, World

Page = list[Any]


def lived(world: World) -> Owner:
    """An owner whose log has an entry of every kind that an audit is about."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("first", tags=["t"])
    owner.vault.update(memory.id, content="second")
    grant_id, access = world.granted(owner, app, tags=["t"])
    access.update(memory.id, content="by the app")
    owner.vault.sync()
    owner.vault.accept(memory.id)
    owner.vault.pause(grant_id)
    owner.vault.resume(grant_id)
    owner.vault.revoke(grant_id)
    owner.vault.forget(memory.id)
    return owner


def _without(items: Page, at: int) -> Page:
    return [*items[:at], *items[at + 1 :]]


def _altered(items: Page, at: int) -> Page:
    leaf = items[at][0]
    middle = len(leaf) // 2
    changed = flipped(leaf, middle)
    return [*items[:at], [changed, items[at][1]], *items[at + 1 :]]


def _later(items: Page, at: int) -> Page:
    """The same entry with another time, or another signature: all of it parses."""
    leaf = items[at][0]
    changed = flipped(leaf)
    return [*items[:at], [changed, items[at][1]], *items[at + 1 :]]


def _twice(items: Page, at: int) -> Page:
    return [*items[: at + 1], items[at], *items[at + 1 :]]


def _exchanged(items: Page, at: int) -> Page:
    other = (at + 1) % len(items)
    found = list(items)
    found[at], found[other] = found[other], found[at]
    return found


def own_leaves(vault: Vault) -> list[bytes]:
    """The log as a device verified it."""
    return [leaf for _, leaf in vault._state.store.leaves()]


def unproven(served: list[bytes], own: list[bytes]) -> list[int]:
    """The places at which what a server shows is not under the root that a device verified."""
    hashes = [leaf_hash(leaf) for leaf in own]
    root, found = root_of(hashes), []
    for at, leaf in enumerate(served):
        try:
            verify_inclusion(leaf, at, len(own), inclusion_proof(hashes, at), root)
        except TrustError:
            found.append(at)
    return found


def _served(attack: Callable[[Page, int], Page], at: int, page: Page) -> Page:
    return [page[0], page[1], attack(page[2], at)]


@pytest.mark.attack(60)
@pytest.mark.parametrize("attack", [_without, _altered, _later, _twice, _exchanged])
def test_no_entry_can_be_removed_or_altered(
    world: World, attack: Callable[[Page, int], Page]
) -> None:
    """Whichever entry it is, a device that reads the log anew refuses it and keeps nothing."""
    owner, evil = lived(world), Evil()
    own = own_leaves(owner.vault)
    assert len(own) > 10
    evil.rewrite["/log"] = updating({"leaves": []})
    for at in range(len(own)):
        evil.rewrite["/sync"] = partial(_served, attack, at)
        with pytest.raises(CoffretError):
            world.device(owner, transport=evil)
    evil.rewrite.clear()
    assert own_leaves(world.device(owner)) == own


@pytest.mark.attack(60)
def test_the_entry_that_was_altered_can_be_named(world: World) -> None:
    """Compared with what a device verified, exactly the entry that was altered is not proven."""
    own = own_leaves(lived(world).vault)
    pages = [[leaf, None] for leaf in own]
    for at in range(len(own)):
        assert unproven([leaf for leaf, _ in _altered(pages, at)], own) == [at]
        assert unproven([leaf for leaf, _ in _later(pages, at)], own) == [at]
        assert min(unproven([leaf for leaf, _ in _exchanged(pages, at)], own)) == min(
            at, (at + 1) % len(own)
        )
        if at + 1 < len(own):
            assert unproven([leaf for leaf, _ in _without(pages, at)], own)[0] == at
    assert unproven(own, own) == []


@pytest.mark.control(60)
def test_a_client_that_compares_no_roots_takes_an_altered_entry(world: World) -> None:
    """Control: without the comparison an entry at another time is believed."""
    owner, evil = world.owner(), Evil()
    owner.vault.remember("first")
    at = len(own_leaves(owner.vault)) - 1
    signed: list[bytes] = []

    def alter(page: Page) -> Page:
        signed.append(parse_head(page[1]).head.root)
        return [page[0], page[1], _later(page[2], at) if page[2] else []]

    evil.rewrite["/sync"] = alter
    with patch.object(Frontier, "root", lambda _: signed[-1]):
        device = world.device(owner, transport=evil)
    assert unproven(own_leaves(device), own_leaves(owner.vault)) == [at]
