"""Entering a vault on a new device while answers are lost: what was signed is not signed again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import Vault
from coffret_vault.errors import ConflictError
from harness.network import BASE, Losing, Signed
from harness.stops import nothing_put_back
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    import httpx

    from harness.world import Owner, World

pytestmark = pytest.mark.usefixtures("one_try")
NEW = "a new passphrase"


@pytest.mark.parametrize("reaching", [True, False], ids=["answer lost", "request lost"])
def test_a_device_that_enters_signs_one_head_of_a_size(world: World, *, reaching: bool) -> None:
    """What it does by itself after entering waits on it; it is not taken away to begin anew."""
    owner, net = world.owner(), Signed()
    _, access = world.granted(owner, world.app(), auto_accept=True)
    access.remember("by an app")
    net.lose, net.reaching = _appends, reaching
    entered = world.device(owner, transport=net)
    assert len(net.heads) == 1
    with pytest.raises(ConflictError):
        Vault.login(
            world.url,
            owner.username,
            PASSPHRASE,
            owner.secret_key,
            entered.folder,
            **world.around(),
        )
    world.clock.forward(seconds=5)
    net.lose = lambda _: False
    entered.sync()
    assert [memory.content for memory in entered.list()] == ["by an app"]
    assert len(set(net.heads)) == len(net.sizes()) == len(set(net.sizes()))


def _appends(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path == f"{BASE}/log"


def test_a_recovery_hands_out_its_secret_key_whatever_comes_after(world: World) -> None:
    """What a device does by itself when it has entered is done by the next sync, or says so."""
    owner, net = world.owner(), Losing()
    _, access = world.granted(owner, world.app(), auto_accept=True)
    access.remember("by an app")
    net.lose = _appends
    code = owner.kit.recovery_code_text()
    vault, secret_key = Vault.recover(
        world.url, owner.username, code, NEW, world.place(), **world.around(transport=net)
    )
    world.closing(vault).lock()
    net.lose = lambda _: False
    vault.unlock(NEW, secret_key)
    vault.sync()
    assert [memory.content for memory in vault.list()] == ["by an app"]


def killed(world: World, owner: Owner, transport: httpx.BaseTransport | None = None) -> Vault:
    """A device whose login was killed before it had read the log, opened again."""
    place = world.place()
    words = (world.url, owner.username, PASSPHRASE, owner.secret_key, place)
    ended = patch("coffret.flows.entrance.sync", side_effect=SystemExit)
    with ended, nothing_put_back(), pytest.raises(SystemExit):
        Vault.login(*words, **world.around())
    vault: Vault = world.closing(Vault.open(place, **world.around(transport=transport)))
    vault.unlock(PASSPHRASE, owner.secret_key)
    return vault


def test_a_device_that_has_read_nothing_signs_nothing_upon_it(world: World) -> None:
    """A head over what it writes alone would stand against the owner's log as a fork of it."""
    owner, net = world.owner(), Signed()
    vault = killed(world, owner, net)
    size = owner.vault.status().entries
    vault.remember("after a login that was killed")
    assert net.sizes() == [size + 1]


def test_a_login_that_was_killed_can_be_confirmed(world: World) -> None:
    """The sync that reads the log at last notes up to where it is by the server's word."""
    owner = world.owner()
    vault = killed(world, owner)
    vault.sync()
    assert vault.settings().sealed_here
    vault.confirm(owner.vault.status().head)
    status = vault.status()
    assert status.confirmed_entries == status.entries
    assert not vault.settings().sealed_here
