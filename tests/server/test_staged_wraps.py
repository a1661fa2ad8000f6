"""Wraps that wait for a key change, and sessions in other hands."""

import pytest

from server import forge
from server.changes import Change, make, stage
from server.stand import Stand

pytestmark = pytest.mark.asyncio


async def test_another_session_spoils_no_change(stand: Stand) -> None:
    """What one session stages, or throws away, leaves alone what another one has staged."""
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    thief = owner.token
    await stand.log_in(owner)
    assert owner.token != thief
    change = Change(owner)
    assert (await stage(stand, change, (memory, 1, forge.wrapped()))).is_success
    for wraps in ([], [[memory.bytes, 1, forge.wrapped()]]):
        body = {"change_id": forge.new_id().bytes, "wraps": wraps}
        assert (await stand.send("POST", "/accounts/me/rewraps", body, thief)).is_success
    assert (await make(stand, change)).is_success
