"""Words that wait on a device, or were given up there, while one process of it changes the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from adversary.test_key_changes import change
from coffret import Vault
from coffret.flows import drafts, visibility
from coffret_vault.errors import KeysChangedError, NetworkError
from coffret_vault.store import seal_note
from harness.world import PASSPHRASE
from integration.losing import Refusing, lost

if TYPE_CHECKING:
    from harness.world import World

pytestmark = pytest.mark.usefixtures("one_try")


@pytest.fixture
def network() -> Refusing:
    """A network that can go away."""
    return Refusing()


@pytest.fixture
def both(world: World, network: Refusing) -> tuple[Vault, Vault]:
    """Two processes of a device, the first of which is behind that network."""
    owner = world.owner(transport=network)
    other = world.closing(Vault.open(owner.vault.folder, **world.around()))
    other.unlock(PASSPHRASE, owner.secret_key)
    return owner.vault, other


def _given_up(network: Refusing, vault: Vault) -> None:
    lost(network, lambda: vault.remember("said"))
    network.refusing = True
    vault.sync()
    network.refusing = False


def _said(network: Refusing, vault: Vault) -> None:
    network.left = 0
    for words in ("first", "said"):
        with pytest.raises(NetworkError):
            vault.remember(words)
    network.left = -1


@pytest.mark.parametrize("noted", [_given_up, _said])
def test_a_process_with_keys_of_before_drops_no_words_of_the_other(
    network: Refusing, both: tuple[Vault, Vault], noted: Any
) -> None:
    """What is noted under the new keys is not taken for somebody else's, who put it there."""
    one, other = both
    change(one)
    noted(network, one)
    with pytest.raises(KeysChangedError):
        other.unkept()
    there = [memory.content for item in one.unkept() for memory in item.memories]
    assert there[-1] == "said"


def test_words_are_not_kept_under_keys_that_were_changed_just_now(
    network: Refusing, both: tuple[Vault, Vault]
) -> None:
    """Nobody would read them: who says them is told that the keys are others."""
    one, other = both

    def behind_a_change(*arguments: Any, **named: Any) -> bytes:
        change(other)
        return seal_note(*arguments, **named)

    network.left = 0
    with (
        patch.object(visibility, "LOOK_AGAIN", 0),
        patch.object(drafts, "seal_note", behind_a_change),
        pytest.raises(KeysChangedError),
    ):
        one.remember("said on a train")
    assert (other.status().unsent, other.unkept()) == (0, [])
