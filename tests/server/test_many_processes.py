"""Several server processes on one PostgreSQL: nothing is right only inside one of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.stand import Clock, Stand, code, serving

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
