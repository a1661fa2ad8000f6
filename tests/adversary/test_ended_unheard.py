"""Grants that end while a device hears of it in part: what is written then is under fresh keys."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import pytest

from coffret_vault.errors import CoffretError, NetworkError, TooLargeError
from coffret_vault.formats.layout import parse_id
from harness.holding import AFTER, BEFORE, Liar, emptied

if TYPE_CHECKING:
    from harness.world import World


@pytest.fixture
def liar(world: World) -> Liar:
    """A lying server and an owner's two devices."""
    return Liar(world)


@pytest.mark.attack(38, 55)
@pytest.mark.parametrize("cut", ["before the answer", "after it", "for good"])
def test_a_revocation_that_was_cut_off_makes_fresh_keys_at_the_next_sync(
    liar: Liar, cut: str
) -> None:
    """Who leaves a revocation unanswered, or ends the device just behind it, gains no key by it."""
    gone, a = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"])
    stays, _ = liar.world.granted(liar.owner, liar.other_app(), scopes=["read", "update"])
    a.refresh()
    kept = a._shelf.one(liar.memory).key
    liar.list_for(stays, emptied)
    if cut == "before the answer":
        liar.evil.rewrite[f"/grants/{gone}/state"] = lambda _: httpx.Response(503)
    whose = liar.owner.vault if cut == "for good" else liar.device
    with (
        patch("coffret.transport._TRIES", 1),
        patch("coffret.flows.grants.rekey_each", side_effect=NetworkError),
        pytest.raises(CoffretError),
    ):
        whose.revoke(gone)
    liar.evil.rewrite.pop(f"/grants/{gone}/state", None)
    liar.device.sync()
    assert liar.device.grant(gone).state == "revoked"
    assert liar.device.get(liar.memory).version == 2
    liar.device.update(liar.memory, content=AFTER)
    assert liar.opened(kept) == {BEFORE}
    stood = liar.device.status().entries
    liar.device.sync()
    assert liar.device.status().entries == stood  # once


@pytest.mark.attack(38, 55)
def test_a_grant_that_ends_makes_fresh_keys_whoever_may_write_is_hidden(liar: Liar) -> None:
    """What another device shared is not left under a key of an ended grant until that one syncs."""
    hours = timedelta(hours=2)
    _, a = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"], duration=hours)
    stays, _ = liar.world.granted(liar.owner, liar.other_app(), scopes=["read", "update"])
    a.refresh()
    kept = a._shelf.one(liar.memory).key
    liar.list_for(stays, emptied)
    liar.world.clock.forward(hours=3)
    liar.device.sync()
    assert liar.device.get(liar.memory).version == 2
    liar.device.update(liar.memory, content=AFTER)
    assert liar.opened(kept) == {BEFORE}


@pytest.mark.attack(38, 48)
def test_nobody_says_in_its_folder_that_a_device_has_looked(liar: Liar) -> None:
    """That it gave fresh keys since some grants ended is the device's own word, and sealed."""
    hours = timedelta(hours=2)
    gone, _ = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"], duration=hours)
    stays, _ = liar.world.granted(liar.owner, liar.other_app(), scopes=["read", "update"])
    liar.list_for(stays, emptied)
    liar.world.clock.forward(hours=3)
    over = hashlib.sha256(parse_id(gone)).digest()
    liar.device._state.store.set_meta("freshened", over)
    liar.device.sync()
    assert liar.device.get(liar.memory).version == 2


@pytest.mark.attack(38, 55)
def test_what_could_not_be_written_then_is_written_later(liar: Liar) -> None:
    """A device that could give no fresh key when it looked says so until it has given one."""
    gone, _ = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"])
    stays, _ = liar.world.granted(liar.owner, liar.other_app(), scopes=["read", "update"])
    liar.list_for(stays, emptied)
    with (
        patch("coffret.flows.grants.rekey_each", side_effect=NetworkError),
        pytest.raises(NetworkError),
    ):
        liar.owner.vault.revoke(gone)
    with patch("coffret.flows.rekeying.next_version", side_effect=TooLargeError):
        for _ in range(2):
            assert liar.memory in liar.device.sync().unwritten
    assert liar.device.sync().unwritten == ()
    assert liar.device.get(liar.memory).version == 2


@pytest.mark.attack(38, 55)
def test_a_clock_that_goes_back_hides_no_end_behind_another(liar: Liar) -> None:
    """Which grants are over is what a device has looked at, not how many: a clock may go back."""
    hours = timedelta(hours=2)
    liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"], duration=hours)
    gone, b = liar.world.granted(liar.owner, liar.world.app("B"), scopes=["read"])
    stays, _ = liar.world.granted(liar.owner, liar.other_app(), scopes=["read", "update"])
    liar.list_for(stays, emptied)
    liar.world.clock.forward(hours=3)
    liar.device.sync()  # looked: one is over
    b.refresh()
    kept = b._shelf.one(liar.memory).key
    liar.world.clock.forward(hours=-2)
    with (
        patch("coffret.flows.grants.rekey_each", side_effect=NetworkError),
        pytest.raises(NetworkError),
    ):
        liar.owner.vault.revoke(gone)
    stood = liar.device.get(liar.memory).version
    liar.device.sync()  # one is over, by this clock: the other one
    assert liar.device.get(liar.memory).version == stood + 1
    liar.device.update(liar.memory, content=AFTER)
    assert liar.opened(kept) == {BEFORE}
