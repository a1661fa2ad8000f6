"""Wraps that wait for a key change, and sessions in other hands."""

import pytest

from server import forge
from server.changes import Change, make, stage, unpacked, wraps_of
from server.stand import Stand, code

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
    some = [[memory.bytes, 1, forge.wrapped()]]
    for wraps in ([], some, some):
        body = {"change_id": forge.new_id().bytes, "wraps": wraps}
        assert (await stand.send("POST", "/accounts/me/rewraps", body, thief)).is_success
    assert unpacked(await stage(stand, change))["staged"] == 1
    assert (await make(stand, change)).is_success


async def test_what_a_session_staged_goes_after_it_ended(stand: Stand) -> None:
    """The next that stages throws it away, and nothing that a session which stands has staged."""
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    tokens = [owner.token]
    for _ in range(2):
        await stand.log_in(owner)
        tokens.append(owner.token)
    for owner.token in tokens[:2]:
        assert (await stage(stand, Change(owner), (memory, 1, forge.wrapped()))).is_success
    assert (await stand.post("/auth/logout", None, tokens[0])).status_code == 204
    owner.token = tokens[2]
    assert (await stage(stand, Change(owner), (memory, 1, forge.wrapped()))).is_success
    row = await stand.app.state.services.storage.one("SELECT COUNT(*) FROM rewraps")
    assert row[0] == 2


@pytest.mark.attack(45)
async def test_a_change_takes_the_wraps_of_its_own_session(stand: Stand) -> None:
    """Wraps that other sessions stage for the very same change, which the server shows, are none.

    They would take the place of the owner's, and the memories would open with nothing.
    """
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    thieves = [owner.token]
    for _ in range(8):  # whatever order the sessions' ids, or the rows, come in
        await stand.log_in(owner)
        thieves.append(owner.token)
    own = thieves.pop(4)
    owner.token = own
    change, wrap = Change(owner), forge.wrapped()
    junk = {"change_id": change.id.bytes, "wraps": [[memory.bytes, 1, forge.wrapped()]]}
    for thief in thieves[:4]:
        assert (await stand.send("POST", "/accounts/me/rewraps", junk, thief)).is_success
    assert code(await make(stand, change)) == (409, "conflict")
    assert (await stage(stand, change, (memory, 1, wrap))).is_success
    view = (await stand.get("/accounts/me/server-view?table=rewraps", thieves[0])).json()
    assert forge.b64(change.id.bytes) in str(view)
    for thief in thieves[4:]:
        assert (await stand.send("POST", "/accounts/me/rewraps", junk, thief)).is_success
    assert (await make(stand, change)).is_success
    assert [item[3] for item in await wraps_of(stand, owner)] == [wrap]
