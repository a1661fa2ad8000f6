"""Apps that ask too much: how often, how many at once, and what stays of it."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from coffret_server.control import asking
from coffret_server.principals import AppCaller
from coffret_server.problems import ProblemError
from server import forge
from server.stand import Clock, Stand, code, request_id, serving, signed_request

pytestmark = [pytest.mark.asyncio, pytest.mark.attack(37)]
DAY = 86_400


async def ask(
    stand: Stand, app: forge.App, owner: forge.Owner, **headers: str
) -> tuple[bytes, httpx.Response]:
    """An access request, and its answer."""
    request = app.request(owner, created=stand.clock.now)
    body = signed_request(app, request)
    return request, await stand.post("/access-requests", body, app.token, headers=headers)


async def look_up(stand: Stand, app: forge.App, name: str, address: str = "203.0.113.1") -> int:
    """The status of an app's look at who has this name."""
    headers = {"X-Forwarded-For": address}
    answer = await stand.get(f"/accounts/by-username/{name}", app.token, headers=headers)
    return answer.status_code


@pytest.mark.attack(46)
async def test_who_has_an_account_is_asked_slowly(sqlite_url: str, clock: Clock) -> None:
    """Names are looked up so often by an app, wherever it is, and from an address by all apps."""
    async with serving(sqlite_url, clock, lookup_rate=4, trust_forwarded=True) as stand:
        await stand.sign_up()
        first, second, third = [await stand.new_app() for _ in range(3)]
        assert [await look_up(stand, first, "ada") for _ in range(4)] == [200] * 4
        for number in range(3):
            assert await look_up(stand, first, "ada", f"198.51.100.{number}") == 429
        assert await look_up(stand, second, "nobody") == 429
        other = "2001:db8::1"
        assert [await look_up(stand, second, "nobody", other) for _ in range(3)] == [404] * 3
        assert await look_up(stand, third, "nobody", "2001:db8::2") == 404
        assert await look_up(stand, third, "ada", "2001:db8::3") == 429
        clock.advance(15)
        assert await look_up(stand, first, "ada") == 200


@pytest.mark.attack(61)
async def test_an_address_brings_few_developers_and_apps_a_day(
    sqlite_url: str, clock: Clock
) -> None:
    """However many keys somebody makes themselves; the same call again is none."""
    async with serving(sqlite_url, clock, registration_rate=4, trust_forwarded=True) as stand:

        async def add(path: str, body: Any, key: str = "", **headers: str) -> httpx.Response:
            headers = {"X-Forwarded-For": "203.0.113.1"} | headers
            return await stand.post(path, body, headers=headers | bearer(key))

        def bearer(key: str) -> dict[str, str]:
            return {"Authorization": f"Bearer {key}"} if key else {}

        def manifest(app: forge.App) -> dict[str, str]:
            raw = app.manifest()
            signature = forge.sign(app.key, "app-manifest", raw)
            return {"manifest": forge.b64(raw), "signature": forge.b64(signature)}

        anybody = {"name": "Anybody", "contact": "a@example.org"}
        first = (await add("/developers", anybody)).json()["developer_key"]
        second = (await add("/developers", anybody)).json()["developer_key"]
        same, once = manifest(forge.App()), {"Idempotency-Key": str(uuid4())}
        for _ in range(3):
            assert (await add("/apps", same, first, **once)).status_code == 201
        assert (await add("/apps", manifest(forge.App()), second)).status_code == 201
        for key in (first, second):
            refused = await add("/apps", manifest(forge.App()), key)
            assert code(refused) == (429, "rate-limited")
            assert refused.headers["retry-after"] == str(DAY // 4)
        assert code(await add("/developers", anybody)) == (429, "rate-limited")
        elsewhere = {"X-Forwarded-For": "198.51.100.1"}
        assert (await add("/apps", manifest(forge.App()), second, **elsewhere)).is_success
        clock.advance(DAY // 4)
        assert (await add("/apps", manifest(forge.App()), second)).status_code == 201
        assert (await add("/developers", anybody)).status_code == 429


async def listed(stand: Stand, owner: forge.Owner, query: str = "") -> list[dict[str, Any]]:
    """The requests that an owner sees."""
    found: list[dict[str, Any]] = (await stand.get(f"/access-requests{query}", owner.token)).json()
    return found


async def deny(stand: Stand, owner: forge.Owner, request: bytes) -> None:
    """Decide a request."""
    path = f"/access-requests/{request_id(request)}/decision"
    assert (await stand.post(path, {"decision": "deny"}, owner.token)).status_code == 200


async def test_an_app_asks_an_owner_few_times_a_day(database: str, clock: Clock) -> None:
    """However its requests end, the next one waits; other apps and other owners are free."""
    async with serving(database, clock, request_rate=3) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        for _ in range(3):
            request, answer = await ask(stand, app, owner)
            assert answer.status_code == 201
            await deny(stand, owner, request)
            clock.advance(60)
        _, answer = await ask(stand, app, owner)
        assert code(answer) == (429, "rate-limited")
        assert answer.headers["retry-after"] == str(DAY - 180)
        assert (await ask(stand, await stand.new_app("Other"), owner))[1].status_code == 201
        assert (await ask(stand, app, await stand.sign_up("bob")))[1].status_code == 201
        clock.advance(DAY - 180)
        await stand.authorize(app)
        assert (await ask(stand, app, owner))[1].status_code == 201
        _, answer = await ask(stand, app, owner)
        assert answer.headers["retry-after"] == "60"


async def test_an_answer_that_was_lost_is_no_further_request(database: str, clock: Clock) -> None:
    """The same call again gives the same answer, after the last one that is let through too."""
    async with serving(database, clock, request_rate=1) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        request = app.request(owner, created=clock.now)
        headers = {"Idempotency-Key": str(uuid4())}
        for _ in range(2):
            answer = await stand.post(
                "/access-requests", signed_request(app, request), app.token, headers=headers
            )
            assert answer.status_code == 201


async def test_requests_at_the_same_time_are_as_few(database: str, clock: Clock) -> None:
    """Through two processes at once no more are taken than one after the other."""
    async with (
        serving(database, clock, request_rate=3) as first,
        serving(database, clock, request_rate=3) as second,
    ):
        owner, app = await first.sign_up(), await first.new_app()
        answers = await asyncio.gather(
            *[ask((first, second)[number % 2], app, owner) for number in range(12)]
        )
        assert sorted(answer.status_code for _, answer in answers) == [201] * 3 + [429] * 9
        states = [row["state"] for row in await listed(first, owner)]
        assert sorted(states) == ["pending", "superseded", "superseded"]


async def test_so_many_apps_wait_for_an_owner(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is open is no more than one list shows; a decision, or time, makes room."""
    monkeypatch.setattr("coffret_server.control.asking.OPEN_LIMIT", 2)
    owner = await stand.sign_up()
    first, second, third = [await stand.new_app(name) for name in ("First", "Second", "Third")]
    request, _ = await ask(stand, first, owner)
    assert (await ask(stand, second, owner))[1].status_code == 201
    _, answer = await ask(stand, third, owner)
    assert code(answer) == (429, "rate-limited")
    assert answer.headers["retry-after"] == "3600"
    assert (await ask(stand, second, owner))[1].status_code == 201, "in the place of its own"
    await deny(stand, owner, request)
    assert (await ask(stand, third, owner))[1].status_code == 201
    assert (await ask(stand, first, owner))[1].status_code == 429
    stand.clock.advance(7 * DAY)
    await stand.authorize(first)
    assert (await ask(stand, first, owner))[1].status_code == 201


async def test_what_is_open_is_not_hidden_behind_the_rest(stand: Stand) -> None:
    """It comes first in every list, however many came and went after it."""
    owner, patient, loud = (
        await stand.sign_up(),
        await stand.new_app("Patient"),
        await stand.new_app("Loud"),
    )
    old, _ = await ask(stand, loud, owner)
    stand.clock.advance(7 * DAY)
    await stand.authorize(patient)
    await stand.authorize(loud)
    request, _ = await ask(stand, patient, owner)
    for _ in range(4):
        stand.clock.advance(1)
        last, _ = await ask(stand, loud, owner)
        await deny(stand, owner, last)
    (shown,) = await listed(stand, owner, "?limit=1")
    assert (shown["request_id"], shown["state"]) == (str(request_id(request)), "pending")
    assert len(await listed(stand, owner, "?state=pending&limit=1")) == 1
    assert await listed(stand, owner, "?state=lapsed") == []
    assert [row["state"] for row in await listed(stand, owner, "?state=denied&limit=3")] == [
        "denied"
    ] * 3
    # What had lapsed was superseded by the next, and nothing is counted as open twice.
    states = {row["request_id"]: row["state"] for row in await listed(stand, owner)}
    assert states[str(request_id(old))] == "superseded"


async def test_requests_that_led_to_nothing_are_forgotten(stand: Stand) -> None:
    """After three months the next request takes them away; those that gave a grant stay."""
    owner, app = await stand.sign_up(), await stand.new_app()
    await stand.grant(owner, app)
    denied, _ = await ask(stand, app, owner)
    await deny(stand, owner, denied)
    stand.clock.advance(90 * DAY + 1)
    await stand.log_in(owner)
    await stand.authorize(app)
    await ask(stand, app, owner)
    states = sorted(row["state"] for row in await listed(stand, owner))
    assert states == ["approved", "pending"]


async def test_all_apps_together_have_an_end(
    stand: Stand, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many apps are made, they ask an owner so often a day, and so much of it is kept."""
    monkeypatch.setattr(asking, "NEWEST", 3)
    owner, apps = await stand.sign_up(), [await stand.new_app() for _ in range(4)]
    denied, first = await ask(stand, apps[1], owner)
    await deny(stand, owner, denied)
    clock.advance(30)
    waiting, second = await ask(stand, apps[0], owner)
    assert (first.status_code, second.status_code) == (201, 201)
    clock.advance(30)
    assert (await ask(stand, apps[2], owner))[1].status_code == 201
    _, answer = await ask(stand, apps[3], owner)
    assert code(answer) == (429, "rate-limited")
    assert answer.headers["retry-after"] == str(DAY - 60)
    clock.advance(DAY)
    for app in apps[1:]:
        await stand.authorize(app)
        request, answer = await ask(stand, app, owner)
        assert answer.status_code == 201
        await deny(stand, owner, request)
        clock.advance(1)
    kept = [item["request_id"] for item in await listed(stand, owner)]
    assert str(request_id(waiting)) in kept
    assert str(request_id(denied)) not in kept
    assert len(kept) == 5


async def test_few_apps_do_not_use_up_the_day_of_all(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks an owner again and again leaves half of the day for those who ask once."""
    monkeypatch.setattr(asking, "NEWEST", 8)
    owner, apps = await stand.sign_up(), [await stand.new_app() for _ in range(5)]
    for _ in range(6):
        for app in apps[:2]:
            await ask(stand, app, owner)
    assert len(await listed(stand, owner)) == 4
    answers = [(await ask(stand, app, owner))[1] for app in (*apps[2:], apps[2], apps[0])]
    assert [answer.status_code for answer in answers] == [201] * 3 + [429] * 2


@pytest.mark.attack(61)
@pytest.mark.parametrize("state", ["active", "revoked"])
async def test_strangers_leave_room_for_apps_that_were_granted_something(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Apps without end that ask an owner keep none from it whom the owner approved before."""
    monkeypatch.setattr(asking, "NEWEST", 8)
    monkeypatch.setattr(asking, "OPEN_LIMIT", 8)
    monkeypatch.setattr(asking, "SHARE", 2)
    owner, other = await stand.sign_up(), await stand.sign_up("bob")
    known, elsewhere = await stand.new_app(), await stand.new_app()
    grant = await stand.grant(owner, known)
    await stand.grant(other, elsewhere)
    if state == "revoked":
        assert (await stand.set_state(owner, grant, state, 2)).status_code == 200
    stand.clock.advance(DAY)
    await stand.authorize(known)
    await stand.authorize(elsewhere)
    strangers = [elsewhere, *[await stand.new_app() for _ in range(5)]]
    answers = [(await ask(stand, app, owner))[1] for app in strangers]
    assert [answer.status_code for answer in answers] == [201] * 4 + [429] * 2
    answers = [(await ask(stand, app, owner))[1] for app in (known, known, known, strangers[0])]
    assert [answer.status_code for answer in answers] == [201, 201, 429, 429]
    assert sum(row["state"] == "pending" for row in await listed(stand, owner)) == 5


async def test_an_app_asks_by_a_key_that_stands(stand: Stand) -> None:
    """That another key of the app stands, or one of that id of another app, is of no use."""
    app, other = await stand.new_app(), await stand.new_app("Other")
    services = stand.app.state.services
    caller = await services.principals.caller(app.token)
    assert isinstance(caller, AppCaller)
    async with services.storage.write() as session:
        await asking.check_stands(session, caller)
        for changed in ({"key": uuid4()}, {"app": other.app.bytes}):
            with pytest.raises(ProblemError) as caught:
                await asking.check_stands(session, msgspec.structs.replace(caller, **changed))
            assert caught.value.code == "unauthenticated"
