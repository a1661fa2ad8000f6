"""A device that loses power goes on with what it had begun, and signs no size again."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import Vault
from coffret_vault.errors import KeysChangedError, NetworkError
from harness.network import Signed, once
from harness.power import Power
from harness.world import PASSPHRASE, ask

if TYPE_CHECKING:
    from coffret import RecoveryKit
    from harness.world import Owner, World

pytestmark = pytest.mark.usefixtures("one_try")
NEW = "another passphrase"


@pytest.fixture
def network() -> Signed:
    """A network that can go away."""
    return Signed()


@pytest.fixture
def owner(world: World, network: Signed) -> Owner:
    """An owner behind it, with one memory."""
    made: Owner = world.owner(transport=network)
    made.vault.remember("first")
    return made


@pytest.fixture
def power(world: World, owner: Owner) -> Power:
    """What of the owner's device is on its disk."""
    return Power(owner.vault._state.store, world.folder / "disk")


def _after_the_cut(world: World, owner: Owner, power: Power, network: Signed) -> Vault:
    owner.vault.close()
    power.cut()
    network.left, network.lose = -1, lambda _: False
    again: Vault = world.closing(Vault.open(owner.vault.folder, **world.around(transport=network)))
    return again


def _lost(owner: Owner, network: Signed, *, before: bool) -> None:
    """Write "lost"; the network goes away before, or after, the server took it."""
    network.reaching = not before
    network.lose = once("POST", "/memory-blobs")
    with pytest.raises(NetworkError):
        owner.vault.remember("lost")


def _another(world: World, owner: Owner, power: Power, network: Signed, *, before: bool) -> Vault:
    """A device that wrote, heard nothing, lost power, and writes again."""
    network.heads.clear()
    _lost(owner, network, before=before)
    vault = _after_the_cut(world, owner, power, network)
    vault.unlock(PASSPHRASE, owner.secret_key)
    vault.remember("another")
    return vault


@pytest.mark.parametrize("before", [True, False])
def test_no_size_is_signed_again(
    world: World, owner: Owner, power: Power, network: Signed, *, before: bool
) -> None:
    """What was sent is on the disk before it leaves, and is sent again after the cut."""
    vault = _another(world, owner, power, network, before=before)
    sizes = network.sizes()
    assert sizes == sorted(set(sizes))
    assert sorted(memory.content for memory in vault.list()) == ["another", "first", "lost"]


def test_a_device_that_does_not_wait_for_its_disk_signs_two_heads(
    world: World, owner: Owner, power: Power, network: Signed
) -> None:
    """Control: what was only handed to the system is gone, and a size is signed twice."""
    with patch("coffret_vault.store.values.durable", lambda _: nullcontext()):
        _another(world, owner, power, network, before=True)
    sizes = network.sizes()
    assert len(sizes) == 2
    assert sizes[0] == sizes[1]


def test_what_was_taken_and_lost_again_is_read_again(
    world: World, owner: Owner, power: Power, network: Signed
) -> None:
    """The note of what was sent outlasts what was kept of the answer: the next sync has it all."""
    network.heads.clear()
    owner.vault.remember("taken")
    vault = _after_the_cut(world, owner, power, network)
    vault.unlock(PASSPHRASE, owner.secret_key)
    assert [memory.content for memory in vault.list()] == ["first"]
    vault.remember("another")
    assert sorted(memory.content for memory in vault.list()) == ["another", "first", "taken"]
    sizes = network.sizes()
    assert sizes == sorted(set(sizes))


def test_a_change_syncs_once(owner: Owner, power: Power) -> None:
    """One wait for the disk a change, however many memories are in it."""
    for expected, write in enumerate((owner.vault.remember, owner.vault.remember), 1):
        write(f"number {expected}")
        assert power.syncs == expected


def test_either_passphrase_opens_the_device(
    world: World, owner: Owner, power: Power, network: Signed
) -> None:
    """What is to be the passphrase is on the disk before the server may have it."""
    network.lose = lambda request: request.url.path.endswith("/keyslots")
    with pytest.raises(NetworkError):
        owner.vault.change_passphrase(PASSPHRASE, NEW, owner.secret_key)
    vault = _after_the_cut(world, owner, power, network)
    vault.unlock(NEW, owner.secret_key)
    vault.sync()
    vault.lock()
    vault.unlock(NEW, owner.secret_key)


def test_an_approval_goes_on(world: World, owner: Owner, power: Power, network: Signed) -> None:
    """What is shared is on the disk before the server hears of the decision."""
    app = world.app()
    request_id = ask(app, owner)
    owner.vault.requests()
    network.lose = once("POST", "/access-requests/")
    with pytest.raises(NetworkError):
        owner.vault.approve(request_id, words=app.words)
    vault = _after_the_cut(world, owner, power, network)
    vault.unlock(PASSPHRASE, owner.secret_key)
    vault.requests(None)
    vault.approve(request_id)
    assert [memory.content for memory in app.access(request_id).memories()] == ["first"]


def test_a_key_change_is_known_of(
    world: World, owner: Owner, power: Power, network: Signed
) -> None:
    """The new kit is recognised on the device that lost power while it changed the keys."""
    kits: list[RecoveryKit] = []
    network.lose = once("POST", "/accounts/me/keys")
    with pytest.raises(NetworkError):
        owner.vault.change_keys(NEW, kits.append)
    vault = _after_the_cut(world, owner, power, network)
    (kit,) = kits
    with pytest.raises(KeysChangedError):
        vault.unlock(NEW, kit.secret_key_code())
    vault.log_in_again(NEW, kit.secret_key_code())
    assert [memory.content for memory in vault.list()] == ["first"]
