"""A thief with every secret of before takes a device's folder after its owner changed the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adversary.test_key_changes import NEW, change
from coffret import Vault
from coffret.flows.keys import open_own
from coffret_vault.errors import IndexDamagedError
from coffret_vault.keyring import Keyring
from coffret_vault.store.snapshot import load_snapshot
from harness.canary import files
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import World


def _keyring(vault: Vault) -> Keyring:
    """A copy of the keys, which nobody wipes."""
    keyring = vault._state.keys.keyring
    return Keyring(keyring.account_id, keyring.generation, keyring.account_key())


def _index_opens(folder: Path, keyring: Keyring) -> bool:
    """Whether what is kept of the index says anything to whoever has these keys."""
    try:
        return load_snapshot(folder / "index.sealed", keyring) is not None
    except IndexDamagedError:
        return False


def _wraps(vault: Vault) -> list[bytes]:
    """The wraps of the memories that are on a device, each of which opens with its keys."""
    rows = list(vault._state.store.current_records())
    assert [open_own(_keyring(vault), row.record).payload.content for row in rows]
    return [row.record.wrap for row in rows]


@pytest.mark.attack(57)
@pytest.mark.parametrize("here", [True, False])
def test_nothing_in_the_folder_opens_with_what_opened_before(world: World, here: bool) -> None:  # noqa: FBT001 - pytest names it
    """Neither the index nor a memory, on the device that changed the keys or that entered anew."""
    owner = world.owner()
    owner.vault.remember("the word is swordfish")
    vault = owner.vault if here else world.device(owner)
    assert vault.search("swordfish")
    before, wraps = _keyring(vault), _wraps(vault)
    assert _index_opens(vault.folder, before)
    assert any(wraps[0] in data for data in files(vault.folder).values())
    code = change(owner.vault).secret_key_code()
    if not here:
        vault.log_in_again(NEW, code)
    assert not _index_opens(vault.folder, before)
    assert not [name for name, data in files(vault.folder).items() if wraps[0] in data]
    assert vault.search("swordfish")
    assert _index_opens(vault.folder, _keyring(vault))


@pytest.mark.attack(57)
def test_an_index_that_another_process_was_making_does_not_stay(world: World) -> None:
    """It has the keys of before still when it has done, and keeps nothing under them."""
    owner = world.owner()
    owner.vault.remember("the word is swordfish")
    other = world.closing(Vault.open(owner.vault.folder, **world.around()))
    other.unlock(PASSPHRASE, owner.secret_key)
    before = _keyring(other)
    change(owner.vault)
    other._finder._file.save(b"an index")
    assert not _index_opens(owner.vault.folder, before)
