"""Guessing: how many wrong logins, tokens and keys are looked at, and from where."""

from typing import Any

import httpx
import pytest

from coffret_server.failures import attempt
from coffret_server.limits import AddressLimiter, Limiter, network
from coffret_server.problems import ProblemError
from server import forge
from server.stand import ORIGIN, Clock, Stand, code, serving


async def challenge(stand: Stand, username: str) -> dict[str, Any]:
    """A login challenge."""
    body = {"username": username, "kind": "passphrase"}
    found: dict[str, Any] = (await stand.post("/auth/challenge", body)).json()
    return found


async def fail(stand: Stand, username: str, address: str = "1.1.1.1") -> httpx.Response:
    """A login that is signed by nobody's key, from an address."""
    body = forge.Owner(username).login_body(await challenge(stand, username), ORIGIN)
    return await stand.post("/auth/login", body, headers={"X-Forwarded-For": address})


async def succeed(stand: Stand, owner: forge.Owner, address: str) -> httpx.Response:
    """A login that is right, from an address."""
    body = owner.login_body(await challenge(stand, owner.username), ORIGIN)
    return await stand.post("/auth/login", body, headers={"X-Forwarded-For": address})


@pytest.mark.asyncio
async def test_guesses_from_an_address_are_few(database: str, clock: Clock) -> None:
    """After three the account is closed to that address for a minute, and to no other one.

    A user who does not exist is treated alike, answer for answer.
    """
    async with serving(database, clock, login_failures=3, trust_forwarded=True) as stand:
        owner = await stand.sign_up()
        seen = {
            name: [code(await fail(stand, name)) for _ in range(5)] for name in ("ada", "nobody")
        }
        assert seen["ada"] == [(401, "wrong-credentials")] * 3 + [(429, "rate-limited")] * 2
        assert seen["nobody"] == seen["ada"]
        answer = await succeed(stand, owner, "1.1.1.1")
        assert code(answer) == (429, "rate-limited")
        assert answer.headers["retry-after"] == "60"
        assert (await succeed(stand, owner, "2.2.2.2")).status_code == 200
        clock.advance(61)
        assert (await succeed(stand, owner, "1.1.1.1")).status_code == 200


@pytest.mark.asyncio
async def test_guesses_are_counted_by_all_processes(database: str, clock: Clock) -> None:
    """What one process counted another one knows, and a restart does not forget it."""
    async with serving(database, clock, login_failures=3) as first:
        await first.sign_up()
        async with serving(database, clock, login_failures=3) as second:
            answers = [code(await fail(stand, "ada")) for stand in (first, second, first, second)]
    assert answers == [(401, "wrong-credentials")] * 3 + [(429, "rate-limited")]
    async with serving(database, clock, login_failures=3) as third:
        assert code(await fail(third, "ada")) == (429, "rate-limited")


@pytest.mark.asyncio
async def test_nobody_keeps_an_owner_out_of_where_they_are_known(
    database: str, clock: Clock
) -> None:
    """Failures from everywhere close an account to new addresses, not to those logged in."""
    async with serving(database, clock, login_failures=2, trust_forwarded=True) as stand:
        owner = await stand.sign_up()
        assert (await succeed(stand, owner, "9.9.9.9")).status_code == 200
        for number in range(20):
            assert code(await fail(stand, "ada", f"1.1.{number}.1"))[0] == 401
        assert code(await fail(stand, "ada", "2.2.2.2")) == (429, "rate-limited")
        assert (await succeed(stand, owner, "9.9.9.9")).status_code == 200
        clock.advance(37)
        assert (await succeed(stand, owner, "2.2.2.2")).status_code == 200


@pytest.mark.asyncio
async def test_an_address_guesses_at_few_accounts(database: str, clock: Clock) -> None:
    """Five times as many as at one, of all accounts together; an IPv6 subscriber is one address."""
    async with serving(database, clock, login_failures=2, trust_forwarded=True) as stand:
        for number in range(10):
            address = f"2001:db8:0:1::{number + 1:x}"
            assert code(await fail(stand, f"user{number}", address))[0] == 401
        assert code(await fail(stand, "another", "2001:db8:0:1::ffff"))[0] == 429
        assert code(await fail(stand, "another", "2001:db8:0:2::1"))[0] == 401


@pytest.mark.asyncio
async def test_what_is_made_up_for_is_forgotten(sqlite_stand: Stand) -> None:
    """The table of failures is emptied by time."""

    async def rows() -> int:
        found = await sqlite_stand.app.state.services.storage.query(
            lambda tx: tx.one("SELECT COUNT(*) FROM login_failures")
        )
        return int(found[0])

    await fail(sqlite_stand, "ada")
    assert await rows() == 3
    sqlite_stand.clock.advance(3_600)
    await fail(sqlite_stand, "bob")
    assert await rows() == 3


@pytest.mark.asyncio
async def test_wrong_tokens_and_keys_are_few(sqlite_url: str, clock: Clock) -> None:
    """From an address with too many no unknown token is looked up; known devices go on."""
    async with serving(sqlite_url, clock, failure_rate=4) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        assert (await stand.get("/tags", owner.token)).status_code == 200
        wrong = [
            await stand.get("/tags", owner.token[:-8] + "AAAAAAA="),
            await stand.get(f"/apps/{app.app}/keys", app.developer_key[:-8] + "AAAAAAA="),
            await stand.post("/auth/token", {"api_key": app.api_key}),
            await stand.get("/grants", app.token + "A"),
        ]
        assert [answer.status_code for answer in wrong] == [401] * 4
        for answer in (
            await stand.get("/tags", owner.token[:-8] + "AAAAAAA="),
            await stand.get(f"/apps/{app.app}/keys", app.developer_key),
            await stand.take_token(app),
        ):
            assert code(answer) == (429, "rate-limited")
            assert int(answer.headers["retry-after"]) >= 1
        assert (await stand.get("/tags", owner.token)).status_code == 200
        clock.advance(16)
        assert (await stand.take_token(app)).status_code == 200


def test_a_full_table_forgets_who_used_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many callers come, memory is bounded, and who used everything up stays refused."""
    monkeypatch.setattr("coffret_server.limits._CALLERS", 100)
    limiter = Limiter("test", 2, lambda: 0.0)
    for _ in range(2):
        limiter.take("guilty")
    for number in range(1_000):
        limiter.take(number)
        assert len(limiter._whole) <= 100
    with pytest.raises(ProblemError):
        limiter.take("guilty")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unknown", "unknown"),
        ("not an address", "not an address"),
    ],
)
def test_a_subscriber_is_one(address: str, expected: str) -> None:
    """An IPv6 /64 counts as one, and an IPv4 address is itself in either form."""
    assert network(address) == expected


def test_asking_does_not_count() -> None:
    """`check` refuses when `take` would, and uses nothing up."""
    limiter = AddressLimiter("test", 1, lambda: 0.0)
    for _ in range(5):
        limiter.check("1.1.1.1")
    limiter.take("1.1.1.1")
    with pytest.raises(ProblemError):
        limiter.check("1.1.1.1")


def test_addresses_are_not_kept_with_failures() -> None:
    """What a failure is kept under shows neither address nor account."""
    one, other = (attempt(key, bytes(16), "a", "a", 1) for key in (b"one", b"other"))
    subjects = {count.subject for it in (one, other) for count in (it.pair, it.place, it.target)}
    assert len(subjects) == 6
    assert {len(subject) for subject in subjects} == {16}
