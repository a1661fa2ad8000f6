"""Callers with some of what a call needs, and what they get: nothing, and no failure of ours."""

import json
from typing import Any

import msgspec
import pytest

from server import forge
from server.stand import Clock, Stand, code, request_id, serving

pytestmark = pytest.mark.asyncio
FARTHEST = (1 << 63) - 1


@pytest.mark.attack(45)
@pytest.mark.parametrize("older", [False, True])
async def test_a_head_in_force_changes_no_grant(stand: Stand, *, older: bool) -> None:
    """Whoever has a session and no identity key cannot resume a grant with the owner's last head.

    Neither with that head and no entries, nor with the very append that it came in.
    """
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    assert (await stand.set_state(owner, grant, "paused", 2)).is_success
    before = owner.tree.size
    last = owner.put(owner.memory())
    assert (await stand.append(owner, last)).is_success
    append = last if older else {"base": before + 1, "leaves": [], "head": owner.head}
    body = {"state": "active", "append": forge.as_json(append)}
    answer = await stand.post(f"/grants/{grant}/state", body, owner.token)
    assert code(answer) == (409, "conflict")
    assert code(await stand.get(f"/grants/{grant}/head", app.token)) == (403, "grant-paused")


async def test_a_head_in_force_approves_nothing(stand: Stand) -> None:
    """An approval whose append is the last one again makes no grant that is not in the log."""
    owner, app = await stand.sign_up(), await stand.new_app()
    await stand.remember(owner)
    request = await stand.ask(app, owner)
    grant = forge.new_id()
    statement = forge.grant_statement(owner, app, request, grant=grant, created=stand.clock.now)
    append = {"base": owner.tree.size, "leaves": [], "head": owner.head}
    body = {
        "decision": "approve",
        "grant": forge.approval(owner, statement),
        "append": forge.as_json(append),
    }
    path = f"/access-requests/{request_id(request)}"
    assert code(await stand.post(f"{path}/decision", body, owner.token)) == (409, "conflict")
    assert (await stand.get("/grants", owner.token)).json() == []
    assert (await stand.get(path, app.token)).json()["state"] == "pending"


async def test_an_app_reads_a_head_on_each_engine(stand: Stand) -> None:
    """The call only reads, so it takes no lock that a database refuses to whoever only reads."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    answer = await stand.get(f"/grants/{grant}/head?seen=1", app.token)
    assert answer.status_code == 200
    assert owner.head.encode() in answer.content


async def test_an_address_is_the_one_that_the_proxy_wrote(sqlite_url: str, clock: Clock) -> None:
    """A proxy that writes a line of its own below the caller's is believed, and not the caller."""
    async with serving(sqlite_url, clock, auth_rate=2, trust_forwarded=True) as stand:
        seen = []
        for number in range(3):
            lines = [("x-forwarded-for", f"9.9.9.{number}"), ("x-forwarded-for", "10.0.0.1")]
            body = {"username": "nobody", "kind": "passphrase"}
            answer = await stand.http.post("/api/v1/auth/challenge", json=body, headers=lines)
            seen.append(answer.status_code)
        assert seen == [200, 200, 429]


async def test_an_app_with_an_owners_id_uses_up_its_own_limit(
    sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app is registered under an id of its choice; its requests are not the owner's."""
    async with serving(sqlite_url, clock, account_rate=3) as stand:
        owner = await stand.sign_up()
        monkeypatch.setattr("server.forge.app.new_id", lambda: owner.account)
        app = await stand.new_app()
        answers = [await stand.get("/grants", app.token) for _ in range(4)]
        assert code(answers[-1]) == (429, "rate-limited")
        assert (await stand.get("/grants", owner.token)).status_code == 200


async def test_no_place_is_too_far(stand: Stand) -> None:
    """Reading from the farthest place that a number names gives nothing, and is no failure."""
    owner = await stand.sign_up()
    for path in ("/sync", "/log", "/accounts/me/memory-keys"):
        answer = await stand.get(f"{path}?from={FARTHEST}&limit=5", owner.token)
        assert answer.status_code == 200, path


@pytest.mark.parametrize(
    "part", [{"leaves": ["\ud800"]}, {"accepts": [["\ud800", 1, "", ""]]}, {"\ud800": 1}]
)
async def test_half_a_character_is_malformed(sqlite_stand: Stand, part: dict[str, Any]) -> None:
    """A lone surrogate in a JSON append is refused like all that is no append."""
    owner = await sqlite_stand.sign_up()
    append = {"base": owner.tree.size, "leaves": [], "head": owner.head} | part
    raw, headers = json.dumps(append).encode(), {"Content-Type": "application/json"}
    answer = await sqlite_stand.request("POST", "/log", raw, owner.token, headers)
    assert code(answer) == (400, "malformed")
    body = {"state": "active", "append": append}
    answer = await sqlite_stand.post(f"/grants/{forge.new_id()}/state", body, owner.token)
    assert code(answer) == (400, "malformed")


FLOODS = {
    "lists": b"[" + b"[]," * 1_000_000 + b"[]]",
    "unknown fields": b"{%b}" % b",".join(b'"%d":1' % n for n in range(300_000)),
    "grants": b'{"grants":[' + b"{}," * 1_000_000 + b"{}]}",
}


@pytest.mark.attack(61)
@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("path", ["/auth/login", "/accounts/me/keys", "/log"])
async def test_a_large_body_is_parsed_for_nobody_without_a_token(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    """Whoever has none, or a wrong one, does not have megabytes kept and parsed, seconds long."""
    monkeypatch.setattr("coffret_server.strict.loads", pytest.fail)
    json_body = {"Content-Type": "application/json"}
    token = f"cfs_{forge.b64(forge.Owner().account.bytes + bytes(32))}"
    wrong = json_body | {"Authorization": f"DPoP {token}"}
    answer = await sqlite_stand.request("POST", path, FLOODS[name], headers=json_body)
    assert code(answer) == (413, "too-large")
    for _ in range(60):
        answer = await sqlite_stand.request("POST", path, FLOODS[name], headers=wrong)
        assert answer.status_code == 401
    answer = await sqlite_stand.request("POST", path, FLOODS[name], headers=wrong)
    assert code(answer) == (429, "rate-limited")


@pytest.mark.attack(61)
@pytest.mark.parametrize("name", FLOODS)
async def test_a_body_of_a_million_parts_is_looked_at_by_nobody(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Nor are so many parts decoded for an app, which anybody can register."""
    app = await sqlite_stand.new_app()
    monkeypatch.setattr("coffret_server.strict.json", None)
    headers = {"Content-Type": "application/json"}
    answer = await sqlite_stand.request(
        "POST", "/access-requests", FLOODS[name], app.token, headers
    )
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "the JSON has too many parts"
    assert (answer.status_code, b'"malformed"' in answer.content) == (400, True)


@pytest.mark.attack(61)
async def test_a_page_of_the_feed_is_never_too_large_to_take(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an app wrote makes no page larger than a device takes; none is left out."""
    monkeypatch.setattr("coffret_server.data.owner.PAGE_BYTES", 10_000)
    owner = await stand.sign_up()
    records = [owner.memory(size=4_096) for _ in range(5)]
    assert (await stand.append(owner, owner.put(*records), "/memory-blobs/batch")).is_success
    found: list[Any] = []
    while len(found) < owner.tree.size:
        answer = await stand.get(f"/sync?from={len(found)}&limit=5000", owner.token)
        assert len(answer.content) < 10_000 + 1_000
        items = msgspec.msgpack.decode(answer.content)[2]
        assert items
        found += items
    assert [item[1] is None for item in found] == [True] * 3 + [False] * 5
    monkeypatch.setattr("coffret_server.data.owner.PAGE_BYTES", 1)
    assert len((await stand.sync(owner, 3))[2]) == 1


async def test_a_memory_s_versions_come_in_pages(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many and large its versions are, a page has one at least and no more than fits."""
    monkeypatch.setattr("coffret_server.data.owner.PAGE_BYTES", 10_000)
    owner, memory = await stand.sign_up(), forge.new_id()
    for version in range(1, 6):
        newer = owner.memory(memory, version, size=4_096)
        assert (await stand.append(owner, owner.put(newer))).is_success
    found: list[Any] = []
    while len(found) < 5:
        path = f"/memory-blobs/{memory}/versions?from={len(found) + 1}"
        answer = await stand.get(path, owner.token)
        assert len(answer.content) < 10_000 + 1_000
        found += msgspec.msgpack.decode(answer.content)
    assert [item[1] for item in found] == [1, 2, 3, 4, 5]


@pytest.mark.attack(45)
async def test_what_ends_while_it_is_looked_up_is_not_remembered(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that ends between its reading and its remembering has ended all the same."""
    owner = await stand.sign_up()
    thief = owner.token
    rows = (await stand.get("/auth/sessions", thief)).json()
    await stand.log_in(owner)
    principals = stand.app.state.services.principals
    principals.forget_account(owner.account.bytes)
    stand.clock.advance(301)
    see = principals._see

    async def meanwhile(*place: Any) -> None:
        monkeypatch.setattr(principals, "_see", see)
        ended = await stand.delete(f"/auth/sessions/{rows[0]['session_id']}", owner.token)
        assert ended.status_code == 204
        await see(*place)

    monkeypatch.setattr(principals, "_see", meanwhile)
    assert (await stand.get("/tags", thief)).status_code == 200  # it was read before it ended
    assert code(await stand.get("/tags", thief)) == (401, "session-ended")


async def test_memory_keys_are_read_a_few_records_at_a_time(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are asked for, each comes once and in order, and the next place is right."""
    monkeypatch.setattr("coffret_server.data.keys._AT_ONCE", 2)
    owner = await stand.sign_up()
    made = [owner.memory() for _ in range(5)]
    assert (await stand.append(owner, owner.put(*made), "/memory-blobs/batch")).is_success
    wraps = [record[3] for record in made]
    for limit, following in ((1, 4), (2, 5), (3, 6), (4, 7), (5, None), (6, None)):
        answer = await stand.get(f"/accounts/me/memory-keys?limit={limit}", owner.token)
        place, found = msgspec.msgpack.decode(answer.content)
        assert (place, [item[3] for item in found]) == (following, wraps[:limit]), limit


@pytest.mark.attack(61)
async def test_memory_keys_are_looked_for_in_so_many_bytes(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page ends behind so many bytes of records, of which a key is the least part."""
    owner = await stand.sign_up()
    made = [owner.memory() for _ in range(5)]
    assert (await stand.append(owner, owner.put(*made), "/memory-blobs/batch")).is_success
    monkeypatch.setattr("coffret_server.data.keys._AT_ONCE", 2)
    monkeypatch.setattr("coffret_server.data.keys.PAGE_BYTES", 1)
    places, wraps = [], []
    at: int | None = 0
    while at is not None:
        answer = await stand.get(f"/accounts/me/memory-keys?from={at}", owner.token)
        at, found = msgspec.msgpack.decode(answer.content)
        places.append(at)
        wraps += [item[3] for item in found]
    assert (places, wraps) == ([5, 7, None], [record[3] for record in made])
