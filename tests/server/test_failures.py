"""Guessing: how many wrong logins, tokens and keys are looked at, and from where."""

import asyncio
import base64
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from coffret_server import tokens
from coffret_server.failures import attempt
from coffret_server.limits import AddressLimiter, Limiter, network
from coffret_server.problems import ProblemError
from coffret_server.schema import ApiKey
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
async def test_nobody_beside_an_owner_keeps_them_out_by_other_names(
    database: str, clock: Clock
) -> None:
    """Failures at other accounts close an address, but to nobody who is logged in from there.

    Failures at that very account do, for a minute a try.
    """
    async with serving(database, clock, login_failures=2, trust_forwarded=True) as stand:
        owner = await stand.sign_up()
        assert (await succeed(stand, owner, "9.9.9.9")).status_code == 200
        for number in range(10):
            assert code(await fail(stand, f"user{number}", "9.9.9.9"))[0] == 401
        assert code(await fail(stand, "another", "9.9.9.9")) == (429, "rate-limited")
        assert (await succeed(stand, owner, "9.9.9.9")).status_code == 200
        for _ in range(2):
            assert code(await fail(stand, "ada", "9.9.9.9"))[0] == 401
        answer = await succeed(stand, owner, "9.9.9.9")
        assert code(answer) == (429, "rate-limited")
        assert int(answer.headers["retry-after"]) <= 60


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
async def test_guesses_at_the_same_time_are_as_few(database: str, clock: Clock) -> None:
    """Of many tries that are made at once, through two processes, no more are looked at than may.

    A right one among them is not refused for those that are on their way, and does not count.
    """
    async with (
        serving(database, clock, login_failures=4, trust_forwarded=True) as first,
        serving(database, clock, login_failures=4, trust_forwarded=True) as second,
    ):
        owner = await first.sign_up()
        stranger, from_one = forge.Owner("ada"), {"X-Forwarded-For": "1.1.1.1"}
        for who, expected in (
            (owner, [200] * 20),
            (stranger, [401] * 4 + [429] * 16),
            (owner, [429] * 20),
        ):
            bodies = [
                who.login_body(await challenge(first, "ada"), ORIGIN) for _ in range(len(expected))
            ]
            answers = await asyncio.gather(
                *[
                    (first, second)[n % 2].post("/auth/login", body, headers=from_one)
                    for n, body in enumerate(bodies)
                ]
            )
            assert sorted(answer.status_code for answer in answers) == expected


@pytest.mark.asyncio
async def test_a_login_that_was_used_counts_as_failed(database: str, clock: Clock) -> None:
    """To send a login again and again is limited as guessing is."""
    async with serving(database, clock, login_failures=2) as stand:
        owner = await stand.sign_up()
        body = owner.login_body(await challenge(stand, "ada"), ORIGIN)
        seen = [(await stand.post("/auth/login", body)).status_code for _ in range(4)]
    assert seen == [200, 401, 401, 429]


@pytest.mark.asyncio
async def test_a_known_subscriber_is_known_by_its_network(database: str, clock: Clock) -> None:
    """Failures from everywhere keep no owner out whose IPv6 address is another one of their /64."""
    async with serving(database, clock, login_failures=1, trust_forwarded=True) as stand:
        owner = await stand.sign_up()
        assert (await succeed(stand, owner, "2001:db8:0:1::1")).status_code == 200
        for number in range(10):
            assert code(await fail(stand, "ada", f"1.1.{number}.1"))[0] == 401
        assert code(await succeed(stand, owner, "2001:db8:0:2::1"))[0] == 429
        assert (await succeed(stand, owner, "2001:DB8:0:1:9::9%eth0")).status_code == 200


@pytest.mark.asyncio
async def test_an_address_has_one_form(sqlite_url: str, clock: Clock) -> None:
    """A port, brackets, or IPv4 written as IPv6 make no other address of it, in any limit."""
    async with serving(
        sqlite_url, clock, login_failures=1, auth_rate=10, trust_forwarded=True
    ) as stand:
        owner = await stand.sign_up()
        assert (await succeed(stand, owner, "::ffff:9.9.9.9")).status_code == 200
        assert code(await fail(stand, "ada", "9.9.9.9:1111"))[0] == 401
        assert code(await fail(stand, "ada", "[::ffff:9.9.9.9]:2222"))[0] == 429
        rows = await stand.get("/auth/sessions", owner.token)
        assert "9.9.9.9" in {row["address"] for row in rows.json()}
        body = {"username": "ada", "kind": "passphrase"}
        statuses = [
            (
                await stand.post(
                    "/auth/challenge",
                    body,
                    headers={"X-Forwarded-For": f"[2001:db8::{port:x}]:{port}"},
                )
            ).status_code
            for port in range(1, 12)
        ]
        assert statuses == [200] * 10 + [429]


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


def guess(token: str) -> str:
    """A token like this one that nobody was given."""
    return token[:-8] + "AAAAAAAA"


async def guess_all(stand: Stand, owner: forge.Owner, app: forge.App) -> list[int]:
    """A guess at each kind of token and key; the statuses."""
    answers = [
        await stand.get("/tags", guess(owner.token)),
        await stand.get(f"/apps/{app.app}/keys", guess(app.developer_key)),
        await stand.post("/auth/token", {"api_key": guess(app.api_key)}),
        await stand.get("/grants", app.token + "A"),
    ]
    return [answer.status_code for answer in answers]


@pytest.mark.asyncio
async def test_guesses_at_tokens_and_keys_are_few(database: str, clock: Clock) -> None:
    """From an address with too many no guess is looked at; what was given out is, first time too.

    Nobody behind an address can use up the tries of the others behind it.
    """
    async with serving(database, clock, failure_rate=4) as first:
        owner, app = await first.sign_up(), await first.new_app()
    async with serving(database, clock, failure_rate=4) as stand:
        assert await guess_all(stand, owner, app) == [401] * 4
        assert await guess_all(stand, owner, app) == [429] * 4
        answer = await stand.get("/tags", guess(owner.token))
        assert code(answer) == (429, "rate-limited")
        assert int(answer.headers["retry-after"]) >= 1
        good = [
            await stand.get("/tags", owner.token),
            await stand.get(f"/apps/{app.app}/keys", app.developer_key),
            await stand.get("/grants", app.token),
            await stand.take_token(app),
        ]
        assert [found.status_code for found in good] == [200] * 4
        clock.advance(16)
        assert code(await stand.get("/tags", guess(owner.token))) == (401, "unauthenticated")


@pytest.mark.asyncio
async def test_a_guess_is_not_looked_up(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bears no mark of this server costs the database nothing."""
    owner, app = await sqlite_stand.sign_up(), await sqlite_stand.new_app()
    storage = sqlite_stand.app.state.services.storage

    def never(*_: object) -> None:
        raise AssertionError

    for name in ("query", "one", "read", "submit", "write"):
        monkeypatch.setattr(storage, name, never)
    assert await guess_all(sqlite_stand, owner, app) == [401] * 4


@pytest.mark.asyncio
async def test_a_key_without_a_mark_is_looked_up_as_a_guess_is(database: str, clock: Clock) -> None:
    """A key given before there were marks works, unless many guesses come from its address."""
    async with serving(database, clock, failure_rate=2) as stand:
        app = await stand.new_app()
        unmarked = f"cfa_{base64.urlsafe_b64encode(app.app.bytes + bytes(32)).decode()}"
        async with stand.app.state.services.storage.write() as session:
            await session.execute(update(ApiKey).values(key_hash=tokens.digest(unmarked)))
        app.api_key = unmarked
        assert (await stand.take_token(app)).status_code == 200
        for _ in range(2):
            assert (await stand.post("/auth/token", {"api_key": guess(unmarked)})).is_error
        assert code(await stand.take_token(app)) == (429, "rate-limited")


@pytest.mark.asyncio
async def test_a_token_that_is_over_is_counted_by_itself(database: str, clock: Clock) -> None:
    """Whoever goes on with it is told to wait; others at that address notice nothing."""
    async with serving(database, clock, failure_rate=2) as stand:
        owner = await stand.sign_up()
        over = owner.token
        assert (await stand.post("/auth/logout", None, over)).status_code == 204
        seen = [code(await stand.get("/tags", over)) for _ in range(4)]
        assert seen == [(401, "session-ended")] * 2 + [(429, "rate-limited")] * 2
        await stand.log_in(owner)
        assert (await stand.get("/tags", owner.token)).status_code == 200
        assert code(await stand.get("/tags", guess(over))) == (401, "unauthenticated")


@pytest.mark.asyncio
async def test_a_wrong_clock_is_no_guess(sqlite_url: str, clock: Clock) -> None:
    """Who holds the key is given a nonce each time, however many guesses came from there."""
    async with serving(sqlite_url, clock, failure_rate=2) as stand:
        owner = await stand.sign_up()
        for _ in range(3):
            await stand.get("/tags", guess(owner.token))
        url, late = f"{ORIGIN}/api/v1/tags", clock.now // 1_000_000 - 900
        for _ in range(5):
            shown = forge.bound("GET", url, token=owner.token, at=late)
            answer = await stand.http.get("/api/v1/tags", headers=shown)
            assert code(answer) == (401, "invalid-proof")
            assert answer.headers["dpop-nonce"]


@pytest.mark.asyncio
async def test_a_stolen_key_does_not_keep_its_app_out(sqlite_url: str, clock: Clock) -> None:
    """Who has an API key and no proof is counted where they are, and the app goes on."""
    async with serving(sqlite_url, clock, failure_rate=2, trust_forwarded=True) as stand:
        app = await stand.new_app()
        theirs = {"X-Forwarded-For": "6.6.6.6"}
        for expected in (401, 401, 429, 429):
            answer = await stand.post("/auth/token", {"api_key": app.api_key}, headers=theirs)
            assert answer.status_code == expected
        assert (await stand.take_token(app)).status_code == 200


@pytest.mark.asyncio
async def test_a_key_alone_uses_nothing_up_from_anywhere(database: str, clock: Clock) -> None:
    """Who has an API key and not its signing key, at many addresses, leaves the app its tokens."""
    async with serving(database, clock, auth_rate=10, trust_forwarded=True) as stand:
        app = await stand.new_app()
        for number in range(30):
            theirs = {"X-Forwarded-For": f"6.6.{number % 7}.6"}
            answer = await stand.post("/auth/token", {"api_key": app.api_key}, headers=theirs)
            assert code(answer) == (401, "invalid-proof")
        for _ in range(9):
            assert (await stand.take_token(app)).status_code == 200
        statuses = [(await stand.take_token(app)).status_code for _ in range(3)]
        assert statuses[-1] == 429  # its own number is limited all the same


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
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:4711", "192.0.2.7"),
        ("[2001:DB8:1:2::3]", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
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
    one, other = (attempt(key, bytes(16), "a", 1) for key in (b"one", b"other"))
    subjects = {count.subject for it in (one, other) for count in (it.pair, it.place, it.target)}
    assert len(subjects) == 6
    assert {len(subject) for subject in subjects} == {16}
