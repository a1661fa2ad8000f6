"""An account whose rows are held for long, as while its keys change, and everybody else.

A change of keys of a million memories takes minutes. What waits for it in the database has a
connection in hand, of which there are sixteen, and whatever else it locked before.
"""

import asyncio
from collections.abc import Awaitable

import asyncpg  # type: ignore[import-untyped]
import httpx
import pytest

from coffret_server.turns import AT_ONCE
from server import forge
from server.holding import SECONDS, held, waiting
from server.stand import ORIGIN, Stand, code, request_id, signed_request

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.parametrize("database", ["postgresql"], indirect=True),
]
APPS = 5
DAY = 86_400
"""Seconds for which a grant is good here."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps wait here for as long as a test takes, however slow the machine."""
    monkeypatch.setattr("coffret_server.rows.PATIENCE", 10 * SECONDS)


async def others_are_served(stand: Stand, owner: forge.Owner) -> None:
    """Somebody else reads and writes, of their memories and of everything beside them."""
    for _ in range(3):
        assert (await stand.get("/grants", owner.token)).status_code == 200
        assert (await stand.get("/sync", owner.token)).status_code == 200
        await stand.remember(owner)


async def entered(stand: Stand, owner: forge.Owner) -> httpx.Response:
    """A right login."""
    body = {"username": owner.username, "kind": "passphrase"}
    challenge = (await stand.post("/auth/challenge", body)).json()
    return await stand.post("/auth/login", owner.login_body(challenge, ORIGIN))


@pytest.mark.attack(61)
async def test_a_login_waits_for_no_change_of_keys(stand: Stand) -> None:
    """Who logs in meanwhile is told to come again, and keeps nobody at that address from it.

    It is counted as no failure: afterwards the same login is taken.
    """
    mallory, owner = await stand.sign_up("mallory"), await stand.sign_up()
    async with held(stand, mallory, "accounts"):
        for _ in range(2 * stand.app.state.services.settings.login_failures):
            answer = await entered(stand, mallory)
            assert code(answer) == (503, "unavailable")
            assert answer.headers["retry-after"] == "1"
        await stand.log_in(owner)
    assert (await entered(stand, mallory)).status_code == 200


@pytest.mark.attack(61)
@pytest.mark.parametrize("call", ["ask", "write"])
async def test_apps_that_wait_for_one_owner_keep_no_other_waiting(stand: Stand, call: str) -> None:
    """However many apps somebody makes, four of their calls at once wait for that account."""
    mallory, owner = await stand.sign_up("mallory"), await stand.sign_up()
    apps = [await stand.new_app() for _ in range(APPS)]
    grants = [await stand.grant(mallory, app) for app in apps]

    def send(place: int) -> Awaitable[httpx.Response]:
        app, grant = apps[place], grants[place]
        if call == "ask":
            request = app.request(mallory, created=stand.clock.now)
            return stand.post("/access-requests", signed_request(app, request), app.token)
        body = app.put(mallory.account, app.memory(mallory.account, grant))
        return stand.send("POST", f"/grants/{grant}/memory-blobs", body, app.token)

    async with held(stand, mallory, "accounts", "logs"):
        sent = [asyncio.ensure_future(send(n % APPS)) for n in range(APPS * AT_ONCE)]
        await waiting(stand, AT_ONCE)
        await others_are_served(stand, owner)
    assert {answer.status_code for answer in await asyncio.gather(*sent)} == {201}


@pytest.mark.attack(61)
@pytest.mark.parametrize("call", ["ask", "write"])
async def test_an_owner_who_holds_their_log_keeps_no_app_from_others(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """An app that waits too long for one is told to come again; it goes on with everybody else."""
    monkeypatch.setattr("coffret_server.rows.PATIENCE", 0.01)
    mallory, owner = await stand.sign_up("mallory"), await stand.sign_up()
    app = await stand.new_app()
    grants = {who.account: await stand.grant(who, app) for who in (mallory, owner)}

    async def send(who: forge.Owner) -> httpx.Response:
        if call == "ask":
            request = app.request(who, created=stand.clock.now)
            return await stand.post("/access-requests", signed_request(app, request), app.token)
        grant = grants[who.account]
        body = app.put(who.account, app.memory(who.account, grant))
        return await stand.send("POST", f"/grants/{grant}/memory-blobs", body, app.token)

    async with held(stand, mallory, "accounts", "logs"):
        answers = await asyncio.gather(*[send(mallory) for _ in range(AT_ONCE + 1)])
        assert {code(answer) for answer in answers} == {(503, "unavailable")}
        assert {answer.headers["retry-after"] for answer in answers} == {"1"}
        monkeypatch.setattr("coffret_server.rows.PATIENCE", SECONDS)
        assert (await send(owner)).status_code == 201
    assert (await send(mallory)).status_code == 201
    assert not stand.app.state.services.storage._writes.failing


@pytest.mark.attack(61)
async def test_who_asks_keeps_nobody_from_writing(stand: Stand) -> None:
    """Any app may ask: those that wait for it take no turn of one that was granted something."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    askers = [await stand.new_app() for _ in range(AT_ONCE + 1)]
    bodies = [signed_request(each, each.request(owner, created=stand.clock.now)) for each in askers]
    async with held(stand, owner, "accounts"):
        sent = [
            asyncio.create_task(stand.post("/access-requests", body, each.token))
            for each, body in zip(askers, bodies, strict=True)
        ]
        await waiting(stand, AT_ONCE)
        written = app.put(owner.account, app.memory(owner.account, grant))
        assert (await stand.write(app, grant, written, owner)).status_code == 201
    assert {answer.status_code for answer in await asyncio.gather(*sent)} == {201}


async def test_an_app_reads_while_its_grants_are_held(stand: Stand) -> None:
    """When it read is noted another time: no connection waits for it, and no app."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    path = f"/grants/{grant}/records"

    async def last_read() -> int | None:
        found: int | None = (await stand.get(f"/grants/{grant}", owner.token)).json()["last_read"]
        return found

    async with held(stand, owner, "grants"):
        assert (await stand.get(path, app.token)).status_code == 200
    assert await last_read() is None
    assert (await stand.get(path, app.token)).status_code == 200
    assert await last_read() == stand.clock.now


@pytest.mark.attack(61)
async def test_a_stranger_waits_for_no_log(stand: Stand) -> None:
    """An app that names an account without a grant of it does not come as far as its log.

    Else it could stand in the way of whatever the owner does, as often as it likes.
    """
    owner, other = await stand.sign_up(), await stand.sign_up("grace")
    app, stranger = await stand.new_app(), await stand.new_app("Other")
    own, elsewhere = await stand.grant(owner, app), await stand.grant(other, stranger)
    async with held(stand, owner, "logs"):
        for grant in (forge.new_id(), own, elsewhere):
            body = stranger.put(owner.account, stranger.memory(owner.account, grant))
            path = f"/grants/{grant}/memory-blobs"
            answer = await stand.send("POST", path, body, stranger.token)
            assert code(answer) == (404, "not-found")


@pytest.mark.attack(45)
async def test_an_api_key_ends_while_its_app_waits(stand: Stand) -> None:
    """A thief of a key who asks an owner, and waits, keeps nobody from taking the key back."""
    owner, app = await stand.sign_up(), await stand.new_app()
    body = signed_request(app, app.request(owner, created=stand.clock.now))
    async with held(stand, owner, "accounts"):
        asking = asyncio.create_task(stand.post("/access-requests", body, app.token))
        await waiting(stand, 1)
        assert (await stand.delete(f"/apps/{app.app}", app.developer_key)).status_code == 204
    assert code(await asking) == (401, "unauthenticated")


@pytest.mark.attack(45)
async def test_an_api_key_that_ended_cancels_nothing(stand: Stand) -> None:
    """What is asked with another key of that app stays asked, though it waited to be cancelled."""
    owner, app = await stand.sign_up(), await stand.new_app()
    request = await stand.ask(app, owner)
    (key,) = (await stand.get(f"/apps/{app.app}/keys", app.developer_key)).json()
    path = f"/access-requests/{request_id(request)}"
    async with held(stand, owner, "access_requests"):
        sent = asyncio.create_task(stand.post(f"{path}/cancel", None, app.token))
        await waiting(stand, 1)
        ended = await stand.delete(f"/apps/{app.app}/keys/{key['key_id']}", app.developer_key)
        assert ended.status_code == 204
    assert code(await sent) == (401, "unauthenticated")
    assert (await stand.get(path, owner.token)).json()["state"] == "pending"


@pytest.mark.attack(45)
async def test_what_an_app_waits_for_with_is_over_when_it_comes(stand: Stand) -> None:
    """Nothing is written with an API key, or under a grant, that ended while its app waited."""
    owner, app, later = await stand.sign_up(), await stand.new_app(), await stand.new_app("Later")
    grant, other = await stand.grant(owner, app), await stand.grant(owner, later)
    writings = [
        (f"/grants/{at}/memory-blobs", who.put(owner.account, who.memory(owner.account, at)), who)
        for who, at in ((app, grant), (later, other))
    ]
    async with held(stand, owner, "logs"):
        sent = [
            asyncio.create_task(stand.send("POST", path, body, who.token))
            for path, body, who in writings
        ]
        await waiting(stand, len(sent))
        assert (await stand.delete(f"/apps/{app.app}", app.developer_key)).status_code == 204
        stand.clock.advance(DAY)
    assert code(await sent[0]) == (401, "unauthenticated")
    assert code(await sent[1]) == (403, "grant-expired")


@pytest.mark.attack(61)
async def test_a_device_reads_while_its_session_is_held(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it was seen is noted another time, and a token is given though its key's row is held."""
    monkeypatch.setattr("coffret_server.noting.PATIENCE", 0.01)
    owner, app = await stand.sign_up(), await stand.new_app()
    stand.clock.advance(3_600)
    async with held(stand, owner, "sessions"):
        assert (await stand.get("/sync", owner.token)).status_code == 200
    connection = await asyncpg.connect(stand.database)
    async with connection.transaction(), asyncio.timeout(SECONDS):
        await connection.execute("SELECT 1 FROM api_keys FOR UPDATE")
        assert (await stand.take_token(app)).status_code == 200
    await connection.close()
