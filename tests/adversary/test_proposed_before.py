"""What apps had proposed when the owner's keys were changed is not kept under keys of before."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.flows.keys import open_record
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import KEK, Kek

if TYPE_CHECKING:
    from coffret import RecoveryKit, Vault
    from coffret.flows.keys import Opened
    from harness.world import Owner, World

NEW = "another passphrase"


def _proposed(world: World) -> tuple[Owner, Opened, Opened]:
    """An owner for whom a new memory and a change to an old one wait: as a thief knows both."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("old")
    _, access = world.granted(owner, app)
    made = access.remember("made by an app")
    access.update(memory.id, content="changed by an app")
    owner.vault.sync()
    return owner, _opened(owner.vault, made.id, 1), _opened(owner.vault, memory.id, 2)


def _opened(vault: Vault, memory_id: str, version: int = 0) -> Opened:
    """A version as it is kept, the current one where none is named."""
    state, identifier = vault._state, parse_id(memory_id)
    memory = state.store.state(identifier)
    assert memory is not None
    record = state.store.record(identifier, version or memory.current)
    assert record is not None
    if not version:
        assert KEK.decode(record.kek) == Kek(generation=state.account.generation)
    return open_record(state, record)


def _changed(vault: Vault) -> RecoveryKit:
    kits: list[RecoveryKit] = []
    vault.change_keys(NEW, kits.append)
    return kits[0]


def _accepted(vault: Vault) -> dict[str, Opened]:
    """Everything that waits, accepted: each memory by what it says."""
    waiting = vault.pending()
    assert [item.proposed is not None for item in waiting] == [True, True]
    for item in waiting:
        vault.accept(item.memory_id, item.version)
    found = [_opened(vault, item.memory_id) for item in waiting]
    return {opened.payload.content: opened for opened in found}


@pytest.mark.attack(57)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_accepted_after_a_key_change_has_a_fresh_key(
    world: World, *, elsewhere: bool
) -> None:
    """On the device that changed them and on another: readable, and under a key nobody had."""
    owner, made, changed = _proposed(world)
    vault = world.device(owner) if elsewhere else owner.vault
    kit = _changed(owner.vault)
    if elsewhere:
        vault.log_in_again(NEW, kit.secret_key_code())
    after = _accepted(vault)
    assert set(after) == {"made by an app", "changed by an app"}
    for before in (made, changed):
        now = after[before.payload.content]
        assert now.key != before.key
        assert now.header.key_number == now.header.version
        assert now.header.version > before.header.version
        assert now.payload.provenance["written_by"]


@pytest.mark.control(57)
def test_a_device_that_only_accepts_keeps_the_key_of_before(world: World) -> None:
    """Control: without the fresh key, what is current is under the key that a thief has."""
    owner, made, _ = _proposed(world)
    _changed(owner.vault)
    with patch("coffret.flows.review._is_known_to_others", return_value=False):
        after = _accepted(owner.vault)
    assert after["made by an app"].key == made.key


def test_what_is_accepted_without_a_key_change_stays_as_it_is(world: World) -> None:
    """The app's own version becomes current, under its own key: nothing is written twice."""
    owner, made, changed = _proposed(world)
    after = _accepted(owner.vault)
    for before in (made, changed):
        assert after[before.payload.content].key == before.key
        assert after[before.payload.content].header.version == before.header.version
