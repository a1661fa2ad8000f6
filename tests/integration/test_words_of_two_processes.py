"""Words that wait on a device, or were given up there, while one process of it changes the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from adversary.test_key_changes import NEW, change
from coffret import Vault
from coffret.flows import append, drafts, visibility, waiting
from coffret.flows.unkept import noted
from coffret_vault.errors import ConflictError, KeysChangedError, NetworkError, QuotaError
from coffret_vault.store import seal_note
from harness.network import Evil
from harness.world import PASSPHRASE
from integration.losing import Refusing, lost

if TYPE_CHECKING:
    from harness.world import World

pytestmark = pytest.mark.usefixtures("one_try")


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


def _taken_back_meanwhile(
    network: Refusing, both: tuple[Vault, Vault], module: Any, name: str
) -> tuple[int, list[str]]:
    """Take back what the other process is about to send; what that says, and what was written."""
    one, other = both
    _said(network, one)
    (found,) = other.unkept()[1:]
    taken: list[int] = []
    real = getattr(module, name)

    def meanwhile(*arguments: Any, **named: Any) -> Any:
        if not taken and len(one.list()) == 1:
            taken.append(other.forget_unkept(found.id))
        return real(*arguments, **named)

    with patch.object(module, name, meanwhile):
        one.sync()
    return taken[0], sorted(memory.content for memory in other.list())


@pytest.mark.parametrize(
    ("module", "name"),
    [(waiting, "look_before_again"), (append, "hold")],
)
def test_what_its_owner_took_back_is_not_sent_by_the_other_process(
    network: Refusing, both: tuple[Vault, Vault], module: Any, name: str
) -> None:
    """Though that had looked at it by then, and a server may keep it waiting for long."""
    assert _taken_back_meanwhile(network, both, module, name) == (1, ["first"])


def test_words_that_come_while_a_locked_device_enters_again_are_not_left_behind(
    world: World,
) -> None:
    """Only the keys of before open them: it stays with these, and its owner is told what to do."""
    evil, network = Evil(), Refusing()
    owner = world.owner()
    device = world.device(owner, transport=evil)
    other = world.closing(Vault.open(device.folder, **world.around(transport=network)))
    other.unlock(PASSPHRASE, owner.secret_key)
    code = change(owner.vault).secret_key_code()
    device.lock()

    def meanwhile(_answer: Any) -> None:
        evil.rewrite.clear()
        _said(network, other)

    evil.rewrite["/sync"] = meanwhile
    with pytest.raises(ConflictError, match="of before open"):
        device.log_in_again(NEW, code)
    device.unlock(PASSPHRASE, owner.secret_key)
    device.log_in_again(NEW, code)
    told = [memory.content for item in device.unkept() for memory in item.memories]
    assert told == ["first", "said"]


@pytest.mark.attack(57)
@pytest.mark.parametrize("late", [False, True])
def test_no_words_are_noted_as_lost_under_keys_that_were_changed_meanwhile(
    network: Refusing,
    both: tuple[Vault, Vault],
    late: bool,  # noqa: FBT001 - pytest names it
) -> None:
    """A server refuses them when the other process has written them, and changed the keys.

    Nothing was lost, and who has the keys of before is to read nothing in this folder. Nor where
    that comes when the note is made, and about to be written.
    """
    one, other = both
    _said(network, one)

    def changed() -> None:
        with patch.object(waiting, "append", append.append), patch.object(drafts, "noted", noted):
            change(other)

    def refused(*_arguments: Any) -> None:
        if not late:
            changed()
        raise QuotaError

    def sealed(*arguments: Any) -> Any:
        notes = noted(*arguments)
        if late:
            changed()
        return notes

    refusing = patch.object(waiting, "append", refused)
    with refusing, patch.object(drafts, "noted", sealed), pytest.raises(KeysChangedError):
        one.sync()
    assert sorted(memory.content for memory in other.list()) == ["first", "said"]
    assert (other.unkept(), other.status().unkept) == ([], 0)
