"""Logging in and out: docs/spec/3-keys.md and 7-http.md."""

import asyncio
import base64
import copy
import uuid
from typing import Any

import pytest

from server import forge
from server.stand import ORIGIN, Stand, code

pytestmark = pytest.mark.asyncio


async def challenge(stand: Stand, username: str, kind: str = "passphrase") -> dict[str, Any]:
    """A challenge."""
    answer = await stand.post("/auth/challenge", {"username": username, "kind": kind})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_a_login_gives_a_session_that_works(stand: Stand) -> None:
    """A signed challenge gives a token with which the account can be read."""
    owner = await stand.sign_up()
    answer = await stand.get("/accounts/me", owner.token)
    assert answer.status_code == 200
    assert answer.json()["username"] == "ada"


async def test_a_recovery_code_logs_in(stand: Stand) -> None:
    """The recovery slot's challenge has no KDF, and its key logs in."""
    owner = await stand.sign_up()
    found = await challenge(stand, "ada", "recovery")
    assert found["kdf"] is None
    answer = await stand.post("/auth/login", owner.login_body(found, ORIGIN, slot=1))
    assert answer.status_code == 200


@pytest.mark.attack(43)
async def test_a_nonce_works_once(stand: Stand) -> None:
    """A replayed login is refused like a wrong one."""
    owner = await stand.sign_up()
    body = owner.login_body(await challenge(stand, "ada"), ORIGIN)
    assert (await stand.post("/auth/login", body)).status_code == 200
    assert code(await stand.post("/auth/login", body)) == (401, "wrong-credentials")


@pytest.mark.attack(43)
async def test_a_nonce_expires(stand: Stand) -> None:
    """A challenge that is answered too late is refused."""
    owner = await stand.sign_up()
    body = owner.login_body(await challenge(stand, "ada"), ORIGIN)
    stand.clock.advance(121)
    assert code(await stand.post("/auth/login", body)) == (401, "wrong-credentials")


@pytest.mark.attack(43, 46)
async def test_wrong_logins_are_alike(stand: Stand) -> None:
    """Every way of being wrong gets the same answer, but for the request id."""
    owner = await stand.sign_up()
    other = await stand.sign_up("bob")
    right = owner.login_body(await challenge(stand, "ada"), ORIGIN)
    stranger = forge.Owner("ada")
    fake = await challenge(stand, "nobody")
    wrong = {
        "signature by another key": stranger.login_body(await challenge(stand, "ada"), ORIGIN),
        "another origin": owner.login_body(await challenge(stand, "ada"), "http://evil.example"),
        "a user who does not exist": owner.login_body(fake, ORIGIN),
        "a nonce of another account": right | {"nonce": (await challenge(stand, "bob"))["nonce"]},
        "another account": right | {"account_id": str(other.account)},
        "a slot that does not exist": right | {"slot_id": str(uuid.uuid4())},
        "a nonce of the client": right | {"nonce": forge.b64(bytes(32))},
        "a short nonce": right | {"nonce": forge.b64(bytes(8))},
        "a short session key": right | {"session_public_key": forge.b64(bytes(8))},
        "a short signature": right | {"signature": forge.b64(bytes(8))},
        "another session key": right | {"session_public_key": forge.b64(bytes(32))},
    }
    seen = set()
    for name, body in wrong.items():
        answer = await stand.post("/auth/login", body)
        assert code(answer) == (401, "wrong-credentials"), name
        seen.add(str({k: v for k, v in answer.json().items() if k != "request_id"}))
    assert len(seen) == 1
    assert (await stand.post("/auth/login", right)).status_code == 200


@pytest.mark.attack(46)
async def test_an_unknown_user_gets_a_steady_fake(stand: Stand) -> None:
    """A fake challenge has the shape of a real one, and only its nonce changes."""
    await stand.sign_up()
    real = await challenge(stand, "ada")
    first, second = await challenge(stand, "nobody"), await challenge(stand, "nobody")
    assert shape(first) == shape(real)
    assert first.pop("nonce") != second.pop("nonce")
    assert first == second
    assert uuid.UUID(first["account_id"]).version == uuid.UUID(real["account_id"]).version
    assert (await challenge(stand, "nobody2"))["kdf"]["salt"] != first["kdf"]["salt"]


@pytest.mark.attack(46)
async def test_a_missing_slot_does_not_tell_that_the_user_exists(stand: Stand) -> None:
    """Asking for a kind of slot gives the same account id as the other kind, real or fake."""
    await stand.sign_up()
    for name in ("ada", "nobody"):
        first, second = await challenge(stand, name), await challenge(stand, name, "recovery")
        assert first["account_id"] == second["account_id"]


def shape(value: Any) -> Any:
    """Keys, types and lengths."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return (type(value).__name__, len(value) if isinstance(value, str) else 0)


async def test_sessions_are_listed_and_ended(stand: Stand) -> None:
    """A device sees its sessions, ends another, and that one's token stops at once."""
    owner = await stand.sign_up()
    first = owner.token
    stand.clock.advance(1)
    await stand.log_in(owner)
    rows = (await stand.get("/auth/sessions", owner.token)).json()
    assert [row["current"] for row in rows] == [False, True]
    ended = await stand.delete(f"/auth/sessions/{rows[0]['session_id']}", owner.token)
    assert ended.status_code == 204
    assert code(await stand.get("/accounts/me", first)) == (401, "session-ended")
    assert (await stand.get("/accounts/me", owner.token)).status_code == 200


async def test_a_name_is_kept_as_it_came_and_is_short(stand: Stand) -> None:
    """What a device says of itself is bytes to the server; without it a session has no name."""
    owner = await stand.sign_up()
    body = {"username": owner.username, "kind": "passphrase"}
    for name, status in ((b"n" * 256, 200), (None, 200), (b"n" * 257, 422), (5, 422)):
        challenge = (await stand.post("/auth/challenge", body)).json()
        signed = owner.login_body(challenge, ORIGIN)
        said = forge.b64(name) if isinstance(name, bytes) else name
        answer = await stand.post("/auth/login", {**signed, "name": said})
        assert answer.status_code == status
    rows = (await stand.get("/auth/sessions", owner.token)).json()
    assert [row["name"] for row in rows] == [None, forge.b64(b"n" * 256), None]
    key = forge.b64(forge.public(owner.session))
    assert {row["session_public_key"] for row in rows} == {key}


async def test_logging_out_ends_the_token_at_once(stand: Stand) -> None:
    """After a logout the token is refused although it was in use a moment ago."""
    owner = await stand.sign_up()
    assert (await stand.get("/tags", owner.token)).status_code == 200
    assert (await stand.post("/auth/logout", None, owner.token)).status_code == 204
    assert code(await stand.get("/tags", owner.token)) == (401, "session-ended")


async def test_a_session_expires(stand: Stand) -> None:
    """A session that was remembered is refused when its time is over."""
    owner = await stand.sign_up()
    stand.clock.advance(30 * 86_400 - 30)
    assert (await stand.get("/tags", owner.token)).status_code == 200
    stand.clock.advance(31)
    assert code(await stand.get("/tags", owner.token)) == (401, "unauthenticated")


async def sessions_kept(stand: Stand) -> int:
    """The rows of sessions, whosever."""
    row = await stand.app.state.services.storage.one("SELECT COUNT(*) FROM sessions")
    return int(row[0])


async def test_sessions_that_are_over_go_by_themselves(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each login takes a few away, and what is left of them still reads as expired.

    A device that comes after its time logs in again; one whose session was ended is told so.
    """
    monkeypatch.setattr("coffret_server.purging.AT_ONCE", 2)
    owner = await stand.sign_up()
    expired = [owner.token]
    for _ in range(4):
        await stand.log_in(owner)
        expired.append(owner.token)
    stand.clock.advance(30 * 86_400 + 1)
    counts = []
    for _ in range(4):
        await stand.log_in(owner)
        counts.append(await sessions_kept(stand))
    assert counts == [4, 3, 3, 4]
    for token in expired:
        assert code(await stand.get("/tags", token)) == (401, "unauthenticated")
        answer = await stand.send("POST", "/log", owner.put(owner.memory()), token)
        assert code(answer) == (401, "unauthenticated")
    ended = owner.token
    assert (await stand.post("/auth/logout", None, ended)).status_code == 204
    assert code(await stand.get("/tags", ended)) == (401, "session-ended")
    stand.clock.advance(30 * 86_400)
    assert code(await stand.get("/tags", ended)) == (401, "unauthenticated")


async def test_nonces_that_are_over_go_by_themselves(stand: Stand) -> None:
    """What worked once is kept for as long as it could be tried again."""
    owner = await stand.sign_up()
    stand.clock.advance(121)
    await stand.log_in(owner)
    row = await stand.app.state.services.storage.one("SELECT COUNT(*) FROM used_nonces")
    assert row[0] == 1


async def test_another_owners_session_cannot_be_ended(stand: Stand) -> None:
    """Session ids of another account do not exist."""
    owner, other = await stand.sign_up(), await stand.sign_up("bob")
    rows = (await stand.get("/auth/sessions", other.token)).json()
    answer = await stand.delete(f"/auth/sessions/{rows[0]['session_id']}", owner.token)
    assert code(answer) == (404, "not-found")
    assert (await stand.get("/tags", other.token)).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "DPoP",
        "DPoP ",
        "Basic YTpi",
        "DPoP cfs_short",
        "DPoP cfs_!!!!",
        "DPoP a.b.c",
        "Bearer a",
    ],
)
async def test_a_bad_token_is_refused(sqlite_stand: Stand, header: str) -> None:
    """Nothing but a token of ours is taken, in both planes."""
    headers = {"Authorization": header} if header else {}
    for path in ("/accounts/me", "/sync"):
        answer = await sqlite_stand.http.get(f"/api/v1{path}", headers=headers)
        assert code(answer) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'DPoP algs="EdDSA"'


async def test_a_token_with_one_bit_changed_is_refused(stand: Stand) -> None:
    """A guess near a token is as wrong as any other."""
    owner = await stand.sign_up()
    raw = bytearray(base64.urlsafe_b64decode(owner.token[4:]))
    raw[-1] ^= 1
    near = "cfs_" + base64.urlsafe_b64encode(bytes(raw)).decode()
    assert code(await stand.get("/sync", near)) == (401, "unauthenticated")


async def test_an_api_key_gives_a_short_token(stand: Stand) -> None:
    """An app's key gives a JWT that ends within 15 minutes."""
    app = await stand.new_app()
    assert (await stand.take_token(app)).json()["expires_in"] <= 900
    assert (await stand.get("/grants", app.token)).status_code == 200
    stand.clock.advance(901)
    assert code(await stand.get("/grants", app.token)) == (401, "unauthenticated")


async def test_a_wrong_api_key_is_refused(stand: Stand) -> None:
    """A key of another kind, or one changed, gives no token."""
    app = await stand.new_app()
    for wrong in ("", "nonsense", app.developer_key, app.api_key[:-6] + "AAAAA="):
        app.api_key = wrong
        assert code(await stand.take_token(app)) == (401, "wrong-credentials")


async def test_a_jwt_of_another_algorithm_is_refused(stand: Stand) -> None:
    """An unsigned token that says it is the app is refused."""
    app = await stand.new_app()
    head, body, _ = app.token.split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    for forged in (f"{unsigned}.{body}.", f"{head}.{body}.AAAA", f"{head}.{body}."):
        assert code(await stand.get("/grants", forged)) == (401, "unauthenticated")


async def test_callers_stay_in_their_place(stand: Stand) -> None:
    """An app's token does not open an owner's call, nor the reverse."""
    owner, app = await stand.sign_up(), await stand.new_app()
    for path in ("/accounts/me", "/sync", "/tags"):
        assert code(await stand.get(path, app.token)) == (403, "forbidden")
    nowhere = uuid.uuid4()
    answer = await stand.get(f"/grants/{nowhere}/records", owner.token)
    assert code(answer) == (403, "forbidden")
    assert code(await stand.get("/accounts/me", app.developer_key)) == (401, "unauthenticated")


async def test_a_session_that_is_over_is_not_listed(stand: Stand) -> None:
    """The list of devices that are logged in has none whose time is over."""
    owner = await stand.sign_up()
    stand.clock.advance(30 * 86_400 - 60)
    await stand.log_in(owner)
    assert len((await stand.get("/auth/sessions", owner.token)).json()) == 2
    stand.clock.advance(120)
    (row,) = (await stand.get("/auth/sessions", owner.token)).json()
    assert row["current"]


@pytest.mark.attack(45)
async def test_of_two_sessions_that_end_each_other_one_does(sqlite_stand: Stand) -> None:
    """Where one change comes after the other, the first is the end of the second."""
    stand = sqlite_stand
    owner = await stand.sign_up()
    other = copy.copy(owner)
    await stand.log_in(other)
    rows = (await stand.get("/auth/sessions", owner.token)).json()
    own, theirs = [
        next(row["session_id"] for row in rows if row["current"] is current)
        for current in (True, False)
    ]
    answers = await asyncio.gather(
        stand.delete(f"/auth/sessions/{theirs}", owner.token),
        stand.delete(f"/auth/sessions/{own}", other.token),
    )
    assert sorted(answer.status_code for answer in answers) == [204, 401]
