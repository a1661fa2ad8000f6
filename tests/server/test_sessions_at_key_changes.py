"""Who is logged in when keys change, and who was on the way, in this process and in others."""

from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import patch

import pytest

from server import forge
from server.changes import Change, make, stage, wraps_of
from server.stand import ORIGIN, Stand, code, serving

pytestmark = pytest.mark.asyncio


async def test_a_change_ends_every_other_session(stand: Stand) -> None:
    """Only the device that made the change stays logged in, and the same call again is the same."""
    owner = await stand.sign_up()
    mine = owner.token
    await stand.log_in(owner)
    theirs, owner.token = owner.token, mine
    assert (await stand.get("/accounts/me", theirs)).is_success
    change = Change(owner)
    body = change.body()
    assert (await make(stand, change, body)).status_code == 204
    assert (await stand.get("/accounts/me", theirs)).status_code == 401
    assert (await stand.get("/accounts/me", mine)).is_success
    assert (await make(stand, change, body)).status_code == 204


class Interrupted:
    """A transaction of a login, and what happens before it holds the account."""

    def __init__(self, tx: Any, before: Callable[[], Awaitable[None]]) -> None:
        self._tx = tx
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    async def one(self, sql: str, *values: Any) -> Any:
        """The first row of a query."""
        if "FROM accounts" in sql:
            await self._before()
        return await self._tx.one(sql, *values)


async def test_a_login_under_way_does_not_outlive_a_change(stand: Stand) -> None:
    """An old keyslot that was read before a change, and verified, gives no session after it.

    SQLite takes one transaction after the other: there the change is made before the login's.
    """
    owner = await stand.sign_up()
    change, storage = Change(owner), stand.app.state.services.storage
    asked = {"username": owner.username, "kind": "passphrase"}
    challenge = (await stand.post("/auth/challenge", asked)).json()
    submit, made = storage.submit, []

    async def make_change() -> None:
        with patch.object(storage, "submit", submit):
            made.append((await make(stand, change)).status_code)

    async def behind_a_change(job: Callable[[Any], Awaitable[Any]]) -> Any:
        if storage.name == "sqlite":
            await make_change()
            return await submit(job)
        return await submit(lambda tx: job(Interrupted(tx, make_change)))

    with patch.object(storage, "submit", behind_a_change):
        answer = await stand.post("/auth/login", owner.login_body(challenge, ORIGIN))
    assert made == [204]
    assert code(answer) == (401, "wrong-credentials")
    (session,) = (await stand.get("/auth/sessions", owner.token)).json()
    assert session["current"]


async def test_a_session_looked_up_during_a_change_is_not_remembered(stand: Stand) -> None:
    """Who was let in while the change was made is asked again after it, in this process at once."""
    owner = await stand.sign_up()
    mine = owner.token
    await stand.log_in(owner)
    theirs, owner.token = owner.token, mine
    change, principals = Change(owner), stand.app.state.services.principals
    stand.clock.advance(600)  # long enough ago that being seen is written down
    see = principals._see

    async def behind_a_change(*arguments: Any) -> None:
        with patch.object(principals, "_see", see):
            assert (await make(stand, change)).status_code == 204
        await see(*arguments)

    with patch.object(principals, "_see", behind_a_change):
        await stand.get("/accounts/me", theirs)
    assert code(await stand.get("/accounts/me", theirs)) == (401, "session-ended")


async def test_the_old_key_signs_nothing_more(stand: Stand) -> None:
    """A head by the replaced key is refused, whoever sends it, and an old login key as well."""
    owner = await stand.sign_up()
    change = Change(owner)
    append = change.append()
    assert (await make(stand, change)).status_code == 204
    owner.commit(append)
    answer = await stand.send("POST", "/log", owner.put(owner.memory()), owner.token)
    assert code(answer) == (422, "bad-signature")
    asked = {"username": owner.username, "kind": "passphrase"}
    challenge = (await stand.post("/auth/challenge", asked)).json()
    login = owner.login_body(challenge, "http://testserver")
    assert code(await stand.post("/auth/login", login)) == (401, "wrong-credentials")


async def test_a_process_that_did_not_hear_takes_no_head_by_the_old_key(stand: Stand) -> None:
    """Where a token is still remembered with the old key, the log itself refuses its heads."""
    owner = await stand.sign_up()
    await stand.remember(owner)
    principals = stand.app.state.services.principals
    change = Change(owner)
    append = change.append()
    for memory, number, _, _ in await wraps_of(stand, owner):
        assert (await stage(stand, change, (memory, number, forge.wrapped()))).is_success
    with patch.object(principals, "forget_account"):
        assert (await make(stand, change)).status_code == 204
    owner.commit(append)
    answer = await stand.send("POST", "/log", owner.put(owner.memory()), owner.token)
    assert code(answer) == (422, "bad-signature")


async def test_a_process_that_did_not_hear_knows_the_new_key(stand: Stand) -> None:
    """The session that made the change goes on there, with the key that it has now."""
    async with serving(stand.database, stand.clock) as other:
        owner = await stand.sign_up()
        assert (await other.get("/tags", owner.token)).status_code == 200
        change = Change(owner)
        append = change.append()
        assert (await make(stand, change)).status_code == 204
        change.after.commit(append)
        principals = other.app.state.services.principals
        remembered = dict(principals._known)
        head = change.after.put(change.after.memory())
        assert (await other.send("POST", "/log", head, owner.token)).status_code == 200
        principals._known = remembered
        assert (await other.get("/tags", owner.token)).status_code == 200
        assert principals._known[owner.token].caller.vault.verifier.public_key == forge.public(
            change.after.key
        )
