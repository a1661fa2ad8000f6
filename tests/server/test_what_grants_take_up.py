"""What grants say and hold counts to their owner's quota, and who is full is not tied by it."""

import copy
from uuid import UUID

import httpx
import msgspec
import pytest

from coffret_server.data import keys
from coffret_server.held import SIZE, Held
from coffret_server.quotas import quota
from server import forge
from server.changes import Change, make, stage
from server.stand import Stand, code, decision, request_id
from server.test_app_writing import judge
from server.test_waiting import usage

pytestmark = [pytest.mark.asyncio, pytest.mark.attack(61)]
FULL = (429, "quota-exceeded")


async def give(
    stand: Stand, owner: forge.Owner, grant: UUID, *memories: UUID
) -> tuple[int, httpx.Response]:
    """Keys of these memories for a grant: by how much the usage is more."""
    before = (await usage(stand, owner))[1]
    wraps = [[memory, 1, forge.wrapped()] for memory in memories]
    answer = await stand.send("POST", f"/grants/{grant}/wraps", {"wraps": wraps}, owner.token)
    return (await usage(stand, owner))[1] - before, answer


async def decide(
    stand: Stand, owner: forge.Owner, app: forge.App, request: bytes, word: str
) -> httpx.Response:
    """An owner's yes or no."""
    grant, path = forge.new_id(), f"/access-requests/{request_id(request)}/decision"
    if word == "deny":
        return await stand.post(path, {"decision": word}, owner.token)
    statement = forge.grant_statement(owner, app, request, grant=grant, created=stand.clock.now)
    body, append = decision(owner, grant, statement)
    answer = await stand.post(path, body, owner.token)
    if answer.is_success:
        owner.commit(append)
    return answer


async def room(stand: Stand, owner: forge.Owner, size: int) -> None:
    """Leave so many bytes of the quota."""
    used = (await usage(stand, owner))[1]
    await quota(stand.database, owner.username, size=used + size)


async def test_keys_that_grants_hold_count(stand: Stand) -> None:
    """Each once, however often it is given, until its memory goes or the grant lacks it."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant, other = await stand.grant(owner, app), await stand.grant(owner, app)
    record = owner.memory()
    first = forge.identity_of(record[0])[0]
    assert (await stand.append(owner, owner.put(record))).is_success
    second, third = await stand.remember(owner), await stand.remember(owner)
    await room(stand, owner, 3 * SIZE)
    more, answer = await give(stand, owner, grant, first, second, third, third)
    assert (more, answer.status_code) == (3 * SIZE, 200)
    assert (await give(stand, owner, grant, third, first))[0] == 0
    more, answer = await give(stand, owner, other, first)
    assert (more, code(answer)) == (0, FULL)
    before = (await usage(stand, owner))[1]
    gone = owner.entry("delete", first, 2, forge.digest_of(record))
    unwraps = [[grant, second], [grant, second], [other, third]]
    assert (await stand.append(owner, owner.append(gone, unwraps=unwraps))).is_success
    assert before - (await usage(stand, owner))[1] == 2 * SIZE + len(msgspec.msgpack.encode(record))
    assert (await give(stand, owner, other, second, third))[0] == 2 * SIZE


async def test_of_grants_that_are_none_nothing_is_asked(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes keys from thousands of ids holds their log, and SQLite's writer, no longer."""
    asked: list[int] = []
    count = Held._count

    async def counted(self: Held, pairs: set[tuple[bytes, bytes]]) -> int:
        asked.append(len(pairs))
        return await count(self, pairs)

    monkeypatch.setattr(Held, "_count", counted)
    owner, app = await stand.sign_up(), await stand.new_app()
    grant, memory = await stand.grant(owner, app), await stand.remember(owner)
    assert (await give(stand, owner, grant, memory))[0] == SIZE
    before = (await usage(stand, owner))[1]
    unwraps = [[grant, memory], *[[forge.new_id(), forge.new_id()] for _ in range(100)]]
    body = owner.put(owner.memory())
    asked.clear()
    assert (await stand.append(owner, body | {"unwraps": unwraps})).is_success
    assert sum(asked) == 1
    size = sum(len(msgspec.msgpack.encode(record)) for record in body["records"])
    assert (await usage(stand, owner))[1] == before - SIZE + size


async def test_what_was_rejected_counts_nothing_and_is_proposed_again(stand: Stand) -> None:
    """By the app under the grant that it made it under, and by nobody else; it counts then."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant, other = await stand.grant(owner, app), await stand.grant(owner, app)
    before = await usage(stand, owner)
    made = app.memory(owner.account, grant)
    memory = forge.identity_of(made[0])[0]
    assert (await stand.write(app, grant, app.put(owner.account, made), owner)).is_success
    assert (await judge(stand, owner, "reject", made)).is_success
    assert await usage(stand, owner) == before
    elsewhere = app.put(owner.account, app.memory(owner.account, other, memory, 2))
    assert code(await stand.write(app, other, elsewhere, owner)) == (403, "not-granted")
    more = [app.memory(owner.account, grant, memory, version) for version in (2, 3)]
    assert (await stand.write(app, grant, app.put(owner.account, *more), owner)).is_success
    later = app.memory(owner.account, grant, memory, 4)
    assert (await stand.write(app, grant, app.put(owner.account, later), owner)).is_success
    size = sum(len(msgspec.msgpack.encode(record)) for record in (*more, later))
    assert (await usage(stand, owner))[1] == before[1] + SIZE + size


async def test_what_grants_say_counts(stand: Stand) -> None:
    """An account that is full approves nothing more; it denies and revokes."""
    owner, app = await stand.sign_up(), await stand.new_app()
    before = (await usage(stand, owner))[1]
    grant = await stand.grant(owner, app, scopes=("create", "read"))
    more = (await usage(stand, owner))[1] - before
    assert more > len(owner.statements[grant]) + 1_168
    await room(stand, owner, more - 1)
    request = await stand.ask(app, owner)
    assert code(await decide(stand, owner, app, request, "approve")) == FULL
    assert (await decide(stand, owner, app, request, "deny")).status_code == 200
    assert (await stand.set_state(owner, grant, "paused", 2)).status_code == 200
    assert (await stand.set_state(owner, grant, "revoked", 3)).status_code == 200
    await room(stand, owner, more)
    request = await stand.ask(app, owner)
    assert (await decide(stand, owner, app, request, "approve")).status_code == 200
    assert (await usage(stand, owner))[1] == before + 2 * more


async def test_so_many_sessions_begin_to_change_keys(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a change has an end in a full account too, where the change is taken."""
    monkeypatch.setattr(keys, "STAGING", 2)
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    await room(stand, owner, 0)
    devices = [copy.copy(owner) for _ in range(3)]
    for device in devices:
        await stand.log_in(device)
    wrap = memory, 1, forge.wrapped()
    for device in devices[:2]:
        assert (await stage(stand, Change(device), wrap)).is_success
    change = Change(owner)
    assert code(await stage(stand, change, wrap)) == FULL
    assert (await stage(stand, Change(devices[0]), wrap)).is_success, "in the place of its own"
    assert (await stand.post("/auth/logout", None, devices[1].token)).status_code == 204
    assert (await stage(stand, change, wrap)).is_success
    assert code(await stage(stand, Change(devices[2]), wrap)) == FULL
    assert (await make(stand, change)).status_code == 204


async def test_sessions_that_are_over_keep_nobody_from_changing_keys(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No list shows them: their owner could not end them."""
    monkeypatch.setattr(keys, "STAGING", 1)
    owner = await stand.sign_up()
    wrap = await stand.remember(owner), 1, forge.wrapped()
    assert (await stage(stand, Change(owner), wrap)).is_success
    seconds = stand.app.state.services.settings.session_seconds
    stand.clock.advance(seconds - 60)
    device = copy.copy(owner)
    await stand.log_in(device)
    assert code(await stage(stand, Change(device), wrap)) == FULL
    stand.clock.advance(120)
    assert (await stage(stand, Change(device), wrap)).is_success
