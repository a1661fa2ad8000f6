"""Calls with one idempotency key at the same moment: one is carried out, and all are answered."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator

import httpx
import pytest

from coffret_server.control.developers import KEYS_LIMIT
from coffret_server.control.repeats import DAY
from coffret_server.purging import AT_ONCE
from coffret_server.storage import Storage, Tx
from server import forge
from server.stand import Stand, code, signed_request

pytestmark = pytest.mark.asyncio
AGAIN = 6
Headers = dict[str, str]
Call = Callable[[Headers], Awaitable[httpx.Response]]
DEVELOPER = {"name": "Wayfarer Ltd", "contact": "hello@wayfarer.example"}


def _new_key(stand: Stand, app: forge.App, headers: Headers) -> Awaitable[httpx.Response]:
    bearer = {"Authorization": f"Bearer {app.developer_key}"}
    return stand.http.post(f"/api/v1/apps/{app.app}/keys", headers=headers | bearer)


def _calls(stand: Stand, owner: forge.Owner, app: forge.App) -> Iterator[Call]:
    """Each call that creates something, and takes an idempotency key."""
    yield lambda headers: stand.post("/developers", DEVELOPER, headers=headers)
    yield lambda headers: _new_key(stand, app, headers)
    new = forge.Owner("grace")
    account = new.creation(new.first_append())
    yield lambda headers: stand.post("/accounts", account, headers=headers)
    other = forge.App("Other")
    manifest = other.manifest()
    registered = {
        "manifest": forge.b64(manifest),
        "signature": forge.b64(forge.sign(other.key, "app-manifest", manifest)),
    }
    yield lambda headers: stand.post("/apps", registered, app.developer_key, headers=headers)
    request = signed_request(app, app.request(owner, created=stand.clock.now))
    yield lambda headers: stand.post("/access-requests", request, app.token, headers=headers)


async def test_a_call_that_is_repeated_while_it_is_under_way_is_answered_once(
    stand: Stand,
) -> None:
    """Whoever gives up waiting and tries again gets the first answer, not a failure."""
    owner, app = await stand.sign_up(), await stand.new_app()
    for call in _calls(stand, owner, app):
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        came = await asyncio.gather(*(call(headers) for _ in range(AGAIN)))
        assert {answer.status_code for answer in came} == {201}
        assert len({answer.text for answer in came}) == 1
        assert (await call(headers)).text == came[0].text


async def test_an_app_has_no_more_keys_for_asking_at_once(stand: Stand) -> None:
    """Keys that are made at the same moment are counted one after the other."""
    app = await stand.new_app()
    came = await asyncio.gather(*(_new_key(stand, app, {}) for _ in range(2 * KEYS_LIMIT)))
    made = [answer for answer in came if answer.is_success]
    assert len(made) == KEYS_LIMIT - 1  # and the one that it was registered with
    assert {code(answer) for answer in came if not answer.is_success} == {(409, "conflict")}


async def test_old_answers_go_a_few_at_a_time(stand: Stand) -> None:
    """Whoever leaves many behind has nobody wait, a day later, while all of them are deleted."""
    storage: Storage = stand.app.state.services.storage
    old = stand.clock.now - DAY - 1

    async def leave(tx: Tx) -> None:
        rows = [(bytes([n]), b"key", b"body", b"\x80", old - n) for n in range(AT_ONCE + 50)]
        await tx.many("INSERT INTO idempotency VALUES (?, ?, ?, ?, ?)", rows)

    async def left() -> int:
        row = await storage.one("SELECT COUNT(*) FROM idempotency WHERE created <= ?", old)
        return int(row[0]) if row else -1

    await storage.submit(leave)
    for count in (50, 0):
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        assert (await stand.post("/developers", DEVELOPER, headers=headers)).is_success
        assert await left() == count


async def test_what_was_deleted_since_is_not_given_again(stand: Stand) -> None:
    """A repetition gives no key that is good for nothing: of an app, a developer, or one more."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    made = (await stand.post("/developers", DEVELOPER, headers=headers)).json()
    app = forge.App()
    app.developer_key = made["developer_key"]
    manifest = app.manifest()
    signature = forge.sign(app.key, "app-manifest", manifest)
    body = {"manifest": forge.b64(manifest), "signature": forge.b64(signature)}

    async def register() -> httpx.Response:
        return await stand.post("/apps", body, app.developer_key, headers=headers)

    assert (await register()).status_code == 201
    keys = f"/apps/{app.app}/keys"
    more = {"Idempotency-Key": str(uuid.uuid4())}
    key = (await _new_key(stand, app, more)).json()["key_id"]
    assert (await stand.delete(f"{keys}/{key}", app.developer_key)).status_code == 204
    assert code(await _new_key(stand, app, more)) == (409, "conflict")
    assert (await register()).status_code == 201
    assert (await stand.delete(f"/apps/{app.app}", app.developer_key)).status_code == 204
    assert code(await register()) == (409, "conflict")
    assert (await stand.delete("/developers/me", app.developer_key)).status_code == 204
    again = await stand.post("/developers", DEVELOPER, headers=headers)
    assert code(again) == (409, "conflict")
    anew = {"Idempotency-Key": str(uuid.uuid4())}
    assert (await stand.post("/developers", DEVELOPER, headers=anew)).status_code == 201
