"""A developer ends an app, and is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]
import pytest

from server import forge
from server.leaving import dump, erased, holding, leave
from server.stand import Stand, code, request_id, signed_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncSession

    from coffret_server.services import Services
    from coffret_server.storage import Tx

pytestmark = pytest.mark.asyncio
MISSING = (404, "not-found")


async def test_an_app_is_ended(stand: Stand) -> None:
    """Its keys and tokens are good for nothing at once; its owner still sees what it was."""
    owner, app, other = await stand.sign_up(), await stand.new_app(), await stand.new_app()
    grant = await stand.grant(owner, app)
    request = await stand.ask(app, owner)
    path = f"/apps/{app.app}"
    assert code(await stand.delete(path, other.developer_key)) == MISSING
    assert (await stand.get("/grants", app.token)).is_success
    assert (await stand.delete(path, app.developer_key)).status_code == 204
    assert code(await stand.get("/grants", app.token)) == (401, "unauthenticated")
    assert code(await stand.take_token(app)) == (401, "wrong-credentials")
    assert code(await stand.delete(path, app.developer_key)) == MISSING
    assert code(await stand.post(f"{path}/keys", {}, app.developer_key)) == MISSING
    assert (await stand.get(path, owner.token)).json()["manifest"] == forge.b64(app.manifest())
    asked = (await stand.get(f"/access-requests/{request_id(request)}", owner.token)).json()
    assert asked["state"] == "cancelled"
    assert [row["grant_id"] for row in (await stand.get("/grants", owner.token)).json()] == [
        str(grant)
    ]
    assert (await stand.set_state(owner, grant, "revoked", 2)).is_success


async def test_a_developer_is_forgotten(stand: Stand) -> None:
    """Not while there are apps; then name, contact and key are gone, and of nobody else."""
    app, other = await stand.new_app(), await stand.new_app()
    busy = await stand.delete("/developers/me", app.developer_key)
    assert code(busy) == (409, "conflict")
    assert (await stand.delete(f"/apps/{app.app}", app.developer_key)).status_code == 204
    assert (await stand.delete("/developers/me", app.developer_key)).status_code == 204
    assert len((await dump(stand))["developers"]) == 1
    again = await stand.delete("/developers/me", app.developer_key)
    assert code(again) == (401, "unauthenticated")
    assert (await stand.delete(f"/apps/{other.app}", other.developer_key)).is_success
    assert (await stand.delete("/developers/me", other.developer_key)).is_success
    assert not holding(await dump(stand), b"hello@wayfarer.example")


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_what_an_app_asked_of_many_is_cancelled_in_steps(stand: Stand) -> None:
    """However many owners an app asked, no transaction cancels more than a few of its requests."""
    owner, app = await stand.sign_up(), await stand.new_app()
    await stand.ask(app, owner)
    services: Services = stand.app.state.services
    copy = (
        "INSERT INTO access_requests"
        " (account_id, request_id, app_id, request, signature, state, created)"
        " SELECT CAST(? AS BYTEA), CAST(? AS BYTEA), app_id, request, signature, state, created"
        " FROM access_requests WHERE account_id = ?"
    )

    async def job(tx: Tx) -> None:
        for _ in range(201):
            await tx.run(copy, forge.new_id().bytes, forge.new_id().bytes, owner.account.bytes)

    await services.storage.submit(job)
    assert (await stand.delete(f"/apps/{app.app}", app.developer_key)).status_code == 204
    connection = await asyncpg.connect(stand.database)
    steps = await connection.fetch(
        "SELECT count(*) FROM access_requests WHERE state = 'cancelled' GROUP BY xmin::text"
    )
    await connection.close()
    assert sum(row[0] for row in steps) == 202
    assert max(row[0] for row in steps) <= 50


async def test_nothing_is_kept_for_an_app_that_ended(stand: Stand) -> None:
    """What it had of an account is forgotten, be the account deleted before or behind its end."""
    app, other = await stand.new_app(), await stand.new_app()
    for first in (True, False):
        owner = await stand.sign_up(f"owner-{int(first)}")
        for one in (app, other):
            await stand.grant(owner, one)
        if not first:
            assert (await stand.delete(f"/apps/{app.app}", app.developer_key)).is_success
        assert (await leave(stand, owner)).status_code == 204
        await erased(stand, owner)
    kept = (await dump(stand))["bygones"]
    assert {row[0] for row in kept} == {other.app.bytes}
    assert len(kept) == 4


class _Late:
    """Makes a call that has come wait before what it writes, until another one is answered."""

    def __init__(self, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
        self.came, self.done = asyncio.Event(), asyncio.Event()
        self._storage = stand.app.state.services.storage
        self._write, self._patch = self._storage.write, monkeypatch
        monkeypatch.setattr(self._storage, "write", self._begin)

    @contextlib.asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncSession]:
        self._patch.setattr(self._storage, "write", self._write)
        self.came.set()
        await self.done.wait()
        async with self._write() as session:
            yield session


async def test_no_request_is_placed_for_an_app_that_ended(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that came before the end of its API key asks for nothing behind it."""
    owner, app = await stand.sign_up(), await stand.new_app()
    late = _Late(stand, monkeypatch)
    asking = signed_request(app, app.request(owner, created=stand.clock.now))
    asked = asyncio.create_task(stand.post("/access-requests", asking, app.token))
    await late.came.wait()
    assert (await stand.delete(f"/apps/{app.app}", app.developer_key)).status_code == 204
    late.done.set()
    assert code(await asked) == (401, "unauthenticated")
    assert (await stand.get("/access-requests", owner.token)).json() == []


async def test_nobody_who_was_forgotten_has_an_app(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A developer's call that came before they were forgotten makes no app: none could end it."""
    gone, app = await stand.new_app(), forge.App("Wayfarer")
    assert (await stand.delete(f"/apps/{gone.app}", gone.developer_key)).status_code == 204
    late, manifest = _Late(stand, monkeypatch), app.manifest()
    signature = forge.sign(app.key, "app-manifest", manifest)
    body = {"manifest": forge.b64(manifest), "signature": forge.b64(signature)}
    made = asyncio.create_task(stand.post("/apps", body, gone.developer_key))
    await late.came.wait()
    assert (await stand.delete("/developers/me", gone.developer_key)).status_code == 204
    late.done.set()
    assert code(await made) == (401, "unauthenticated")
    assert not holding(await dump(stand), app.app.bytes)


@pytest.mark.attack(45)
async def test_no_other_token_ends_an_app(stand: Stand) -> None:
    """An owner's and the app's own token, and none, end neither app nor developer."""
    owner, app = await stand.sign_up(), await stand.new_app()
    for path in (f"/apps/{app.app}", "/developers/me"):
        for token in (owner.token, app.token):
            assert code(await stand.delete(path, token)) == (401, "unauthenticated")
        assert code(await stand.request("DELETE", path, b"")) == (401, "unauthenticated")
    assert (await stand.get("/grants", app.token)).is_success
