"""A session that ends while what it asked for waits for what somebody else holds."""

import asyncio
import copy
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import asyncpg  # type: ignore[import-untyped]
import httpx
import pytest

from server import forge
from server.changes import Change, make, stage
from server.holding import SECONDS, held, waiting
from server.stand import Stand, code, decision, request_id
from server.test_accounts import keyslots_body, put_keyslots
from server.test_settings import put, settling

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.attack(45),
    pytest.mark.parametrize("database", ["postgresql"], indirect=True),
]
Answer = Coroutine[Any, Any, httpx.Response]


class Scene(NamedTuple):
    """An owner by a session that is to end, and what they may change by it."""

    stand: Stand
    owner: forge.Owner
    memory: uuid.UUID
    grant: uuid.UUID
    setting_up: uuid.UUID
    request: bytes
    asked: uuid.UUID
    statement: bytes


async def scene(stand: Stand) -> Scene:
    """A vault with a memory, two grants, and a request that waits."""
    owner, app = await stand.sign_up(), await stand.new_app()
    memory, grant = await stand.remember(owner), await stand.grant(owner, app)
    setting_up = await stand.grant(owner, app, activate=False)
    request = await stand.ask(app, owner)
    asked = forge.new_id()
    statement = forge.grant_statement(owner, app, request, grant=asked, created=stand.clock.now)
    return Scene(stand, owner, memory, grant, setting_up, request, asked, statement)


def _write(found: Scene) -> Answer:
    owner = found.owner
    return found.stand.send("POST", "/log", owner.put(owner.memory()), owner.token)


def _change(found: Scene) -> Answer:
    owner, path = found.owner, f"/memory-blobs/{found.memory}"
    append = owner.put(owner.memory(found.memory, version=2))
    headers = {"If-Match": '"1"'}
    return found.stand.send("PUT", path, append, owner.token, headers=headers)


def _share(found: Scene) -> Answer:
    body = {"wraps": [[found.memory, 1, forge.wrapped()]]}
    return found.stand.send("POST", f"/grants/{found.grant}/wraps", body, found.owner.token)


def _stage(found: Scene) -> Answer:
    return stage(found.stand, Change(found.owner), (found.memory, 1, forge.wrapped()))


def _pause(found: Scene) -> Answer:
    return found.stand.set_state(found.owner, found.grant, "paused", 2)


def _activate(found: Scene) -> Answer:
    path = f"/grants/{found.setting_up}/activate"
    return found.stand.post(path, None, found.owner.token)


def _decision(found: Scene) -> str:
    return f"/access-requests/{request_id(found.request)}/decision"


def _approve(found: Scene) -> Answer:
    body, _ = decision(found.owner, found.asked, found.statement)
    return found.stand.post(_decision(found), body, found.owner.token)


def _deny(found: Scene) -> Answer:
    return found.stand.post(_decision(found), {"decision": "deny"}, found.owner.token)


def _settle(found: Scene) -> Answer:
    return put(found.stand, found.owner, found.owner.append(*settling(found.owner, 1)))


def _change_passphrase(found: Scene) -> Answer:
    owner, (old, recovery) = found.owner, found.owner.slots
    new = forge.Keyslot(owner.account)
    leaves = [
        owner.entry("keyslot", new.slot, 1, forge.hash_of(new.raw())),
        owner.entry("keyslot-remove", old.slot, 1, forge.hash_of(old.raw())),
    ]
    body, _ = keyslots_body(owner, [new, recovery], leaves)
    return put_keyslots(found.stand, owner, body)


async def _change_keys(found: Scene) -> httpx.Response:
    change = Change(found.owner)
    change.grants = {
        grant: (2, found.owner.statements[grant]) for grant in (found.grant, found.setting_up)
    }
    assert (await stage(found.stand, change, (found.memory, 1, forge.wrapped()))).is_success
    answer: httpx.Response = await make(found.stand, change)
    return answer


CALLS: dict[str, tuple[Callable[[Scene], Answer], str]] = {
    "writes": (_write, "logs"),
    "changes a memory": (_change, "logs"),
    "shares": (_share, "logs"),
    "stages": (_stage, "logs"),
    "pauses": (_pause, "logs"),
    "activates": (_activate, "grants"),
    "approves": (_approve, "logs"),
    "denies": (_deny, "access_requests"),
    "settles": (_settle, "logs"),
    "changes the passphrase": (_change_passphrase, "accounts"),
    "changes the keys": (_change_keys, "accounts"),
    "has changed them but for the wraps": (_change_keys, "entries"),
}
KEEP_LOGINS_OUT = ("accounts", "entries")
"""What a change of keys waits for, which keeps logins out meanwhile."""


async def _end(stand: Stand, owner: forge.Owner) -> None:
    """Another device of theirs ends the session."""
    other = copy.copy(owner)
    await stand.log_in(other)
    sessions = (await stand.get("/auth/sessions", other.token)).json()
    (theirs,) = [row["session_id"] for row in sessions if not row["current"]]
    assert (await stand.delete(f"/auth/sessions/{theirs}", other.token)).status_code == 204


async def _state(stand: Stand, owner: forge.Owner) -> list[Any]:
    """All that one of these calls could have changed."""
    rows = []
    for table in ("logs", "keyslots", "grant_wraps", "access_requests", "grants"):
        query = f"SELECT * FROM {table} WHERE account_id = ?"  # noqa: S608 - our own names
        found = await stand.app.state.services.storage.query(
            lambda tx, query=query: tx.all(query, owner.account.bytes)
        )
        rows.append(sorted(map(repr, found)))
    return rows


@pytest.mark.parametrize("call", CALLS)
async def test_what_waited_is_refused_to_a_session_that_ended_meanwhile(
    stand: Stand, call: str
) -> None:
    """From when the call that ended a session has answered, nothing is changed by it.

    A thief of a session who keeps the vault busy would else have as much done after it.
    """
    found = await scene(stand)
    before = await _state(stand, found.owner)
    send, table = CALLS[call]
    ending = copy.copy(found.owner)
    async with held(stand, found.owner, table):
        sent = asyncio.create_task(send(found))
        await waiting(stand, 1)
        if table not in KEEP_LOGINS_OUT:
            await _end(stand, ending)
        else:
            storage = stand.app.state.services.storage
            await storage.submit(lambda tx: tx.run("DELETE FROM sessions"))
    assert code(await sent) == (401, "session-ended")
    assert await _state(stand, found.owner) == before


async def test_a_session_that_ended_meanwhile_ends_no_other(stand: Stand) -> None:
    """Whoever has a session in other hands ends it, and by it none of theirs is ended then."""
    owner = await stand.sign_up()
    thief, victim = copy.copy(owner), copy.copy(owner)
    await stand.log_in(thief)
    await stand.log_in(victim)
    ids = {}
    for who in (thief, victim):
        rows = (await stand.get("/auth/sessions", who.token)).json()
        (ids[who.token],) = [row["session_id"] for row in rows if row["current"]]
    connection = await asyncpg.connect(stand.database)
    async with connection.transaction(), asyncio.timeout(SECONDS):
        held_id = uuid.UUID(ids[victim.token]).bytes
        query = "SELECT 1 FROM sessions WHERE session_id = $1 FOR UPDATE"
        await connection.execute(query, held_id)
        sent = asyncio.create_task(stand.delete(f"/auth/sessions/{ids[victim.token]}", thief.token))
        await waiting(stand, 1)
        ended = await stand.delete(f"/auth/sessions/{ids[thief.token]}", owner.token)
        assert ended.status_code == 204
    await connection.close()
    assert code(await sent) == (401, "session-ended")
    assert (await stand.get("/auth/sessions", victim.token)).status_code == 200
