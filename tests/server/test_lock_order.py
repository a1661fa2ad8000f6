"""Calls of one account at the same moment: each waits its turn, and none is taken back for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from coffret_server import departing, once, purging, quiet
from coffret_server.control import credentials, keys
from coffret_server.storage import Storage, Tx
from coffret_server.storage.trouble import reason
from server import forge
from server.changes import Change, make
from server.leaving import leave
from server.stand import ORIGIN, Stand, code, decision, request_id

pytestmark = pytest.mark.asyncio
PAUSE = 0.3
Other = Callable[[Stand, forge.Owner, forge.App, UUID, bytes], Awaitable[httpx.Response]]


async def _revoke(
    stand: Stand, owner: forge.Owner, _app: forge.App, grant: UUID, _request: bytes
) -> httpx.Response:
    return await stand.set_state(owner, grant, "revoked", 2)


async def _approve(
    stand: Stand, owner: forge.Owner, app: forge.App, _grant: UUID, request: bytes
) -> httpx.Response:
    grant = forge.new_id()
    statement = forge.grant_statement(owner, app, request, grant=grant, created=stand.clock.now)
    body, _append = decision(owner, grant, statement)
    return await stand.post(f"/access-requests/{request_id(request)}/decision", body, owner.token)


@pytest.mark.parametrize("other", [_revoke, _approve])
async def test_a_key_change_and_what_is_decided_meanwhile_wait_for_each_other(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, other: Other
) -> None:
    """What another device decides during a key change comes before it or behind it, in its turn.

    Whoever locks an account's log does so before all else that belongs to it.
    """
    owner, app = await stand.sign_up(), await stand.new_app()
    grant, request = await stand.grant(owner, app), await stand.ask(app, owner)
    change, check = Change(owner), keys._check_unmoved
    change.grants = {grant: (2, owner.statements[grant])}
    has_log = asyncio.Event()

    async def slowly(*given: Any) -> None:
        await check(*given)
        has_log.set()
        await asyncio.sleep(PAUSE)

    monkeypatch.setattr(keys, "_check_unmoved", slowly)
    changing = asyncio.create_task(make(stand, change))
    await has_log.wait()
    late = await other(stand, owner, app, grant, request)
    assert (await changing).status_code == 204
    assert late.status_code < 500, late.text
    assert code(late)[0] in {409, 422}


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_neither_a_login_nor_a_deletion_waits_for_the_other(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who logs in while the account is deleted is told to come again, and refused then.

    A login holds what is counted of those that failed when it comes to the account.
    """
    owner = await stand.sign_up()
    body = {"username": owner.username, "kind": "passphrase"}
    challenge = (await stand.post("/auth/challenge", body)).json()
    check, hold = departing._forget_failures, credentials.is_right
    departs, refused = asyncio.Event(), asyncio.Event()

    async def after_login(*given: Any) -> None:
        departs.set()
        await refused.wait()
        await check(*given)

    async def after_deletion(*given: Any) -> bool:
        await departs.wait()
        try:
            return await hold(*given)
        finally:
            refused.set()

    monkeypatch.setattr(departing, "_forget_failures", after_login)
    monkeypatch.setattr("coffret_server.control.auth.is_right", after_deletion)
    entering = asyncio.create_task(stand.post("/auth/login", owner.login_body(challenge, ORIGIN)))
    left = await leave(stand, owner)
    assert left.status_code == 204, left.text
    assert code(await entering) == (503, "unavailable")
    again = await stand.post("/auth/login", owner.login_body(challenge, ORIGIN))
    assert code(again) == (401, "wrong-credentials")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_two_owners_who_come_too_late_wait_for_nothing_of_each_other(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is over goes with calls of others: none holds rows of theirs while it waits for its own.

    Each throws away one row here, and the other's moment is over for the longest.
    """
    storage: Storage = stand.app.state.services.storage
    both = [(await stand.sign_up(name)).account.bytes for name in ("ada", "grace")]

    def late(account: bytes, base: int) -> Awaitable[None]:
        found = quiet.Overtaken(account, base)
        return storage.submit(lambda tx: quiet.begin(tx, found, stand.clock.now))

    monkeypatch.setattr(purging, "AT_ONCE", 0)
    for account in reversed(both):
        await late(account, 1)
        stand.clock.advance(60)
    monkeypatch.setattr(purging, "AT_ONCE", 1)
    spent = [asyncio.Event(), asyncio.Event()]

    async def in_turn(tx: Tx, account: bytes, *given: Any) -> bool:
        place = both.index(account)
        if place:
            await spent[0].wait()
        found = await once.spend(tx, account, *given)
        spent[place].set()
        await spent[1].wait()
        return found

    monkeypatch.setattr("coffret_server.quiet.spend", in_turn)
    await asyncio.gather(*(late(account, 2) for account in both))


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_what_the_database_takes_back_can_be_sent_again(stand: Stand) -> None:
    """Of two changes that wait for each other, one is taken back: a trouble that passes."""
    storage: Storage = stand.app.state.services.storage
    names = ("jwt-key", "nonce-key")
    both = asyncio.Barrier(2)

    def crossing(first: str, second: str) -> Awaitable[None]:
        async def job(tx: Tx) -> None:
            await tx.run("UPDATE settings SET value = value WHERE name = ?", first)
            await both.wait()
            await tx.run("UPDATE settings SET value = value WHERE name = ?", second)

        return storage.submit(job)

    came = await asyncio.gather(
        crossing(*names), crossing(*reversed(names)), return_exceptions=True
    )
    refused = [error for error in came if error is not None]
    assert [reason(error) for error in refused] == ["40P01"]
