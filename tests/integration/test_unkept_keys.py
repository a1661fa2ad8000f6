"""What waited on a device while another one changed the keys: its owner has the words still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adversary.test_key_changes import NEW, change
from coffret_vault.errors import (
    ConflictError,
    NetworkError,
)
from harness.network import BASE, once
from harness.world import PASSPHRASE
from integration.losing import Refusing, lost, read_and_write

if TYPE_CHECKING:
    from harness.world import Owner, World

pytestmark = pytest.mark.usefixtures("one_try")


def _lost_to_new_keys(world: World, owner: Owner, network: Refusing) -> str:
    """Have a change given up, another one wait, and another device change the keys; their code."""
    vault, other = owner.vault, world.device(owner)
    memory_id = vault.remember("before").id
    lost(network, lambda: vault.update(memory_id, content="given up"))
    read_and_write(other)
    vault.sync()
    lost(network, lambda: vault.remember("lost words", title="Lost"))
    other.sync()
    return change(other).secret_key_code()


def test_what_waited_when_the_keys_were_changed_is_told_with_its_words(
    world: World, owner: Owner, network: Refusing
) -> None:
    """The device that enters anew takes it along under the new keys, and writes none of it."""
    vault, code = owner.vault, _lost_to_new_keys(world, owner, network)
    assert vault.log_in_again(NEW, code).unkept == 1
    vault.sync()
    assert [(found.why, [m.content for m in found.memories]) for found in vault.unkept()] == [
        ("overtaken", ["given up"]),
        ("keys-changed", ["lost words"]),
    ]
    assert vault.unkept()[1].memories[0].title == "Lost"
    assert "lost words" not in {memory.content for memory in vault.list()}
    vault.lock()
    vault.unlock(NEW, code)
    assert len(vault.unkept()) == 2
    vault.remember("lost words", title="Lost")
    assert [found.why for found in vault.unkept()] == ["overtaken"]


def test_a_locked_device_gives_up_no_words_unasked(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Only the keys of before open them: with those first they are kept, or their owner says no."""
    vault, code = owner.vault, _lost_to_new_keys(world, owner, network)
    vault.lock()
    with pytest.raises(ConflictError, match="waits") as raised:
        vault.log_in_again(NEW, code)
    assert "coffret unlock" in raised.value.hint
    vault.unlock(PASSPHRASE, owner.secret_key)
    assert [found.why for found in vault.unkept()] == ["overtaken", "waiting"]
    vault.log_in_again(NEW, code)
    assert [len(found.memories) for found in vault.unkept()] == [1, 1]


def test_what_its_owner_gives_up_is_said_once_more(
    world: World, owner: Owner, network: Refusing
) -> None:
    """What it was can be read no more, and that is told all the same."""
    vault, code = owner.vault, _lost_to_new_keys(world, owner, network)
    vault.lock()
    vault.log_in_again(NEW, code, give_up=True)
    vault.sync()
    for found in vault.unkept():
        assert (found.why, found.entries, found.memories) == ("keys-changed", (), ())
    assert vault.forget_unkept() == 2


def test_what_arrived_before_the_keys_were_changed_is_no_loss(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Its answer was lost, and no more than that."""
    vault, other = owner.vault, world.device(owner)
    network.lose = once("POST", "/memory-blobs")
    with pytest.raises(NetworkError):
        vault.remember("arrived")
    other.sync()
    code = change(other).secret_key_code()
    assert vault.log_in_again(NEW, code).unkept == 0
    assert vault.status().unkept == 0
    assert [memory.content for memory in vault.list()] == ["arrived"]


@pytest.mark.attack(57)
def test_a_device_that_cannot_enter_again_keeps_what_waits(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Words are under the new keys only when all that is here is."""
    vault, code = owner.vault, _lost_to_new_keys(world, owner, network)
    network.lose = lambda request: request.url.path == f"{BASE}/sync"
    with pytest.raises(NetworkError):
        vault.log_in_again(NEW, code)
    network.lose = lambda _: False
    assert vault.status().unkept == 1
    vault.log_in_again(NEW, code)
    assert [len(found.memories) for found in vault.unkept()] == [1, 1]


@pytest.mark.attack(57)
def test_what_the_keys_of_before_say_is_written_by_its_owner_alone(
    world: World, owner: Owner, network: Refusing
) -> None:
    """Who has those keys could have put it there: the device neither sends nor writes it anew."""
    vault, other = owner.vault, world.device(owner)
    lost(network, lambda: vault.remember("by a thief"))
    code = change(other).secret_key_code()
    vault.log_in_again(NEW, code)
    vault.remember("by its owner")
    other.sync()
    assert [memory.content for memory in other.list()] == ["by its owner"]
