"""API keys: what they are good for, and until when."""

import base64
import uuid
from typing import Any

import pytest
from sqlalchemy import update

from coffret_server import tokens
from coffret_server.schema import Developer
from server import forge
from server.stand import Stand, code

pytestmark = pytest.mark.asyncio


async def limited(stand: Stand, app: forge.App, **limits: Any) -> forge.App:
    """The same app with a further API key, which is not good for everything."""
    answer = await stand.post(f"/apps/{app.app}/keys", limits, app.developer_key)
    assert answer.status_code == 201, answer.text
    twin = forge.App()
    for name in ("app", "name", "key", "sealing_key", "developer_key", "time"):
        setattr(twin, name, getattr(app, name))
    twin.api_key = answer.json()["api_key"]
    await stand.authorize(twin)
    return twin


async def test_a_key_is_good_for_its_scopes_alone(stand: Stand) -> None:
    """Each scope of a grant needs the same of the key; asking owners needs one of its own."""
    owner, app = await stand.sign_up(), await stand.new_app()
    memory = await stand.remember(owner)
    grant = await stand.grant(owner, app)
    await stand.share(owner, grant, memory)
    reader = await limited(stand, app, scopes=["read"])
    writer = await limited(stand, app, scopes=["create", "request"])
    for who, sees in ((app, 1), (reader, 1), (writer, 0)):
        headers = {"Accept": "application/json"}
        answer = await stand.get(f"/grants/{grant}/records", who.token, headers=headers)
        assert len(answer.json()[1]) == sees
    body = app.put(owner.account, app.memory(owner.account, grant))
    assert code(await stand.write(reader, grant, body, owner)) == (403, "not-granted")
    assert (await stand.write(writer, grant, body, owner)).status_code == 201
    change = app.put(owner.account, app.memory(owner.account, grant, memory, 2))
    assert code(await stand.write(writer, grant, change, owner)) == (403, "not-granted")
    asked = forge.as_json({"request": b"", "signature": b""})
    assert code(await stand.post("/access-requests", asked, reader.token)) == (403, "forbidden")
    await stand.ask(writer, owner)


async def test_a_key_ends(stand: Stand) -> None:
    """After its time a key gives no token, and no token that it gave outlives it."""
    app = await stand.new_app()
    short = await limited(stand, app, seconds=300)
    assert (await stand.take_token(short)).json()["expires_in"] == 300
    stand.clock.advance(299)
    assert (await stand.take_token(short)).json()["expires_in"] <= 1
    stand.clock.advance(2)
    assert code(await stand.take_token(short)) == (401, "wrong-credentials")
    assert code(await stand.get("/grants", short.token)) == (401, "unauthenticated")
    rows = (await stand.get(f"/apps/{app.app}/keys", app.developer_key)).json()
    every = ["create", "delete", "read", "request", "update"]
    assert [row["scopes"] for row in rows] == [every, every]
    assert {row["expires"] is None for row in rows} == {True, False}


async def test_limits_of_a_key_are_checked(stand: Stand) -> None:
    """A scope that is not one, none at all, and a time that is too short or long are refused."""
    app = await stand.new_app()
    limits: tuple[dict[str, Any], ...] = (
        {"scopes": ["admin"]}, {"scopes": []}, {"scopes": "read"}, {"seconds": 0}, {"seconds": 59},
        {"seconds": 1 << 60}, {"seconds": True}, {"owner": "ada"},
    )  # fmt: skip
    for wrong in limits:
        answer = await stand.post(f"/apps/{app.app}/keys", wrong, app.developer_key)
        assert code(answer) == (422, "invalid-input"), wrong


async def test_a_developer_s_key_without_a_mark_is_that_very_key(stand: Stand) -> None:
    """One given before there were marks works; another of that developer, or of nobody, not."""
    body = {"name": "A", "contact": "a@example.org"}
    developer = uuid.UUID((await stand.post("/developers", body)).json()["developer_id"])
    nobody = forge.new_id()
    keys = [
        f"cfd_{base64.urlsafe_b64encode(who.bytes + bytes([last]) * 32).decode()}"
        for who, last in ((developer, 0), (developer, 1), (nobody, 0))
    ]
    async with stand.app.state.services.storage.write() as session:
        await session.execute(update(Developer).values(key_hash=tokens.digest(keys[0])))
    app = forge.App()
    body = {
        "manifest": forge.b64(app.manifest()),
        "signature": forge.b64(forge.sign(app.key, "app-manifest", app.manifest())),
    }
    for key in keys[1:]:
        assert code(await stand.post("/apps", body, key)) == (401, "unauthenticated")
    assert (await stand.post("/apps", body, keys[0])).status_code == 201


async def test_keys_of_an_app_that_is_not_there_are_not_found(stand: Stand) -> None:
    """A developer who asks by an id of no app is told so."""
    app = await stand.new_app()
    path = f"/apps/{forge.new_id()}/keys"
    assert code(await stand.get(path, app.developer_key)) == (404, "not-found")
