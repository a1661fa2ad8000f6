"""An app that writes all the time, and an owner whose appends have to build on what is there."""

import uuid

import pytest

from server import forge
from server.stand import Clock, Stand, code, serving

pytestmark = pytest.mark.asyncio


async def write(stand: Stand, owner: forge.Owner, app: forge.App, grant: uuid.UUID) -> list[bytes]:
    """The app writes, and the owner has not heard of it; what was taken."""
    body = app.put(owner.account, app.memory(owner.account, grant))
    answer = await stand.send("POST", f"/grants/{grant}/memory-blobs", body, app.token)
    if answer.is_success:
        return [*body["leaves"]]
    assert code(answer) == (429, "rate-limited")
    assert int(answer.headers["retry-after"]) == 3
    return []


@pytest.mark.attack(61)
@pytest.mark.parametrize("change", ["put", "revoke"])
async def test_an_app_that_never_stops_writing_keeps_no_owner_from_it(
    stand: Stand, clock: Clock, change: str
) -> None:
    """Between what the owner reads and what they send it writes once more, and then not again.

    A log takes what builds on all of it: an app that is always quicker would put off whatever the
    owner does, a revocation too, for as many tries as a device makes. Others' logs are as ever.
    """
    owner, other, app = await stand.sign_up(), await stand.sign_up("grace"), await stand.new_app()
    grant, elsewhere = await stand.grant(owner, app), await stand.grant(other, app)

    async def send() -> int:
        if change == "put":
            return (await stand.append(owner, owner.put(owner.memory()))).status_code
        return (await stand.set_state(owner, grant, "revoked", 2)).status_code

    owner.follow(await write(stand, owner, app, grant))
    unheard = await write(stand, owner, app, grant)
    assert await send() == 409
    owner.follow(unheard)
    assert await write(stand, owner, app, grant) == []
    assert await write(stand, other, app, elsewhere)
    assert await send() == 200
    clock.advance(3)
    if change == "put":
        assert await write(stand, owner, app, grant)


async def test_what_is_sent_again_silences_no_app(stand: Stand) -> None:
    """An append that was heard, and devices that are quicker than each other, stop no app."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    heard = [owner.put(owner.memory()) for _ in range(2)]
    assert (await stand.append(owner, heard[0])).is_success
    for append in heard[1:]:
        assert code(await stand.send("POST", "/log", append, owner.token)) == (409, "log-moved")
    owner.follow(await write(stand, owner, app, grant))
    cover = owner.append()
    assert (await stand.append(owner, cover)).is_success
    again = {**cover, "head": owner.sign_head(owner.tree, at=9_001)}
    assert code(await stand.send("POST", "/log", again, owner.token)) == (409, "log-moved")
    assert await write(stand, owner, app, grant)


@pytest.mark.attack(61)
async def test_a_refused_append_that_is_sent_again_silences_apps_once(
    stand: Stand, clock: Clock
) -> None:
    """Whoever heard it, or has a session of the owner's in hand, cannot keep apps waiting by it.

    Until the owner's next head it stays one that came too late. An append that the owner signs
    anew has its turn, if they read what is new: what builds on no more can only be refused.
    """
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    unheard = await write(stand, owner, app, grant)
    late = owner.put(owner.memory())
    assert code(await stand.send("POST", "/log", late, owner.token)) == (409, "log-moved")
    assert await write(stand, owner, app, grant) == []
    for _ in range(3):
        clock.advance(3)
        assert code(await stand.send("POST", "/log", late, owner.token)) == (409, "log-moved")
        unheard += await write(stand, owner, app, grant)
    assert len(unheard) == 4
    owner.follow(unheard[:1])
    anew = owner.put(owner.memory())
    assert code(await stand.send("POST", "/log", anew, owner.token)) == (409, "log-moved")
    assert await write(stand, owner, app, grant) == []
    clock.advance(3)
    assert code(await stand.send("POST", "/log", late, owner.token)) == (409, "log-moved")
    unheard += await write(stand, owner, app, grant)
    assert len(unheard) == 5
    owner.follow(unheard[1:])
    await stand.remember(owner)


@pytest.mark.attack(61)
async def test_an_owner_who_comes_too_late_on_purpose_fills_no_database(stand: Stand) -> None:
    """However many appends they sign that can only be refused, what is kept of these is one row.

    It counts to no quota, and would be kept for a day.
    """
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    unheard = await write(stand, owner, app, grant)
    storage = stand.app.state.services.storage

    async def kept() -> int:
        rows = "SELECT COUNT(*) FROM used_nonces WHERE account_id = ?"
        return int((await storage.one(rows, owner.account.bytes))[0])

    async def come_too_late() -> int:
        for _ in range(4):
            late = owner.put(owner.memory())
            assert code(await stand.send("POST", "/log", late, owner.token)) == (409, "log-moved")
        return await kept()

    before = await come_too_late()
    for _ in range(3):
        stand.clock.advance(3)
        owner.follow(unheard)
        unheard = await write(stand, owner, app, grant)
        assert await come_too_late() == before


@pytest.mark.attack(56)
async def test_apps_wait_at_every_process(database: str, clock: Clock) -> None:
    """An app that writes through another process than its owner's lets the owner come first, too.

    Of a clock that was put back since, nothing is left that would keep it waiting.
    """
    async with serving(database, clock) as first, serving(database, clock) as second:
        owner, app = await first.sign_up(), await first.new_app()
        grant = await first.grant(owner, app)
        unheard = await write(second, owner, app, grant)
        assert (await first.append(owner, owner.put(owner.memory()))).status_code == 409
        assert await write(second, owner, app, grant) == []
        owner.follow(unheard)
        await first.remember(owner)
        clock.advance(3)
        unheard = await write(second, owner, app, grant)
        clock.advance(600)
        assert (await first.append(owner, owner.put(owner.memory()))).status_code == 409
        clock.advance(-500)
        assert await write(second, owner, app, grant)
