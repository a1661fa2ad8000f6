"""Several server processes on one PostgreSQL: nothing is right only inside one of them."""

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock, patch

import httpx
import msgspec
import pytest
import pytest_asyncio

from server import forge
from server.stand import PACK, Clock, Stand, code, plain, serving

pytestmark = pytest.mark.asyncio
Pair = tuple[Stand, Stand]


@pytest_asyncio.fixture
async def pair(database: str, clock: Clock) -> AsyncIterator[Pair]:
    """Two servers that share nothing but the database."""
    async with serving(database, clock) as first, serving(database, clock) as second:
        yield first, second


@pytest.mark.attack(56)
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_of_writers_on_two_servers_one_wins(pair: Pair) -> None:
    """Appends on one base sent to both: exactly one is accepted, and both then agree."""
    owner = await pair[0].sign_up()
    for _ in range(8):
        appends = [owner.put(owner.memory()) for _ in range(4)]
        answers = await asyncio.gather(
            *[
                pair[n % 2].send("POST", "/log", append, owner.token)
                for n, append in enumerate(appends)
            ]
        )
        won = [a for a, r in zip(appends, answers, strict=True) if r.status_code == 200]
        assert len(won) == 1
        assert {code(r) for r in answers if r.status_code != 200} == {(409, "log-moved")}
        owner.commit(won[0])
    for stand in pair:
        assert (await stand.sync(owner))[:2] == [11, owner.head]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_revocation_is_in_force_everywhere_at_once(pair: Pair) -> None:
    """A grant revoked through one server serves no more through the other."""
    first, second = pair
    owner, app = await first.sign_up(), await first.new_app()
    grant = await first.grant(owner, app)
    assert (await second.get(f"/grants/{grant}/records", app.token)).status_code == 200
    await first.set_state(owner, grant, "revoked", 2)
    answer = await second.get(f"/grants/{grant}/records", app.token)
    assert code(answer) == (403, "grant-revoked")


@pytest.mark.attack(45)
async def test_a_session_ended_elsewhere_has_ended(pair: Pair) -> None:
    """What was let in a moment ago reads nothing and writes nothing, by any call."""
    first, second = pair
    owner = await first.sign_up()
    memory = await first.remember(owner)
    assert (await second.get("/tags", owner.token)).status_code == 200
    ended = (401, "session-ended")
    appends = {
        ("POST", "/log"): owner.put(owner.memory()),
        ("POST", "/memory-blobs"): owner.put(owner.memory()),
        ("PUT", f"/memory-blobs/{memory}"): owner.put(owner.memory(memory, version=2)),
    }
    principals = second.app.state.services.principals
    remembered = dict(principals._known)
    assert (await first.post("/auth/logout", None, owner.token)).status_code == 204
    for (method, path), append in appends.items():
        answer = await second.send(method, path, append, owner.token, headers={"If-Match": '"1"'})
        assert code(answer) == ended
        assert not principals._known, "it is looked up, and counted, from now on"
        principals._known = dict(remembered)
    for path in ("/tags", "/sync", "/log", f"/memory-blobs/{memory}", "/accounts/me"):
        answer = await second.get(path, owner.token)
        assert code(answer) == ended, path
        principals._known = dict(remembered)
    assert (await second.post("/auth/logout", None, owner.token)).status_code == 401


@pytest.mark.attack(45)
async def test_an_api_key_taken_back_elsewhere_is_over(pair: Pair) -> None:
    """The tokens that were given for it are refused by every process at once."""
    first, second = pair
    app = await first.new_app()
    assert (await second.get("/grants", app.token)).status_code == 200
    (row,) = (await first.get(f"/apps/{app.app}/keys", app.developer_key)).json()
    path = f"/apps/{app.app}/keys/{row['key_id']}"
    assert (await first.delete(path, app.developer_key)).status_code == 204
    assert code(await second.get("/grants", app.token)) == (401, "unauthenticated")


class Heard:
    """A request that somebody heard, said again as it was."""

    def __init__(self, stand: Stand, path: str, body: object, token: str) -> None:
        self._path = path
        self._body = msgspec.msgpack.encode(plain(body))
        self._headers = stand.bound("POST", path, self._body, token) | {"Content-Type": PACK}

    async def said_to(self, stand: Stand) -> httpx.Response:
        """The same bytes, with the same proof."""
        path = f"/api/v1{self._path}"
        return await stand.http.post(path, content=self._body, headers=self._headers)


async def wrap_again(pair: Pair) -> tuple[httpx.Response, int]:
    """A memory leaves a grant, and what had put it there is said to the other process.

    The answer, and how many wraps the grant has then.
    """
    first, second = pair
    owner, app = await first.sign_up(), await first.new_app()
    memory = await first.remember(owner)
    grant = await first.grant(owner, app)
    wraps = {"wraps": [[memory, 1, forge.wrapped()]]}
    heard = Heard(first, f"/grants/{grant}/wraps", wraps, owner.token)
    assert (await heard.said_to(first)).status_code == 200
    assert (
        await first.append(owner, owner.put(owner.memory(), unwraps=[[grant, memory]]))
    ).is_success
    answer = await heard.said_to(second)
    found = await first.get(f"/grants/{grant}/wraps", owner.token)
    return answer, len(msgspec.msgpack.decode(found.content)[1])


@pytest.mark.attack(43)
async def test_what_left_a_grant_does_not_come_back(pair: Pair) -> None:
    """A request to give a grant a key works once in all processes, not once in each."""
    answer, wraps = await wrap_again(pair)
    assert code(answer) == (401, "invalid-proof")
    assert answer.headers["dpop-nonce"]
    assert wraps == 0


@pytest.mark.control(43)
async def test_what_left_a_grant_comes_back_where_processes_do_not_share(pair: Pair) -> None:
    """Control: were used proofs known to one process alone, the other one would do it again."""
    with patch("coffret_server.once.spend", AsyncMock(return_value=True)):
        answer, wraps = await wrap_again(pair)
    assert (answer.status_code, wraps) == (200, 1)


@pytest.mark.attack(43)
async def test_what_was_staged_is_not_thrown_away_from_elsewhere(pair: Pair) -> None:
    """A request that staged wraps for an earlier key change does not make room for itself again."""
    first, second = pair
    owner = await first.sign_up()
    memory = await first.remember(owner)
    heard = [
        Heard(
            first,
            "/accounts/me/rewraps",
            {"change_id": forge.new_id(), "wraps": [[memory, 1, forge.wrapped()]]},
            owner.token,
        )
        for _ in range(2)
    ]
    for request in heard:
        assert (await request.said_to(first)).status_code == 200
    row = await first.app.state.services.storage.one("SELECT change_id, wrap FROM rewraps")
    assert code(await heard[0].said_to(second)) == (401, "invalid-proof")
    after = await first.app.state.services.storage.one("SELECT change_id, wrap FROM rewraps")
    assert tuple(after) == tuple(row)
