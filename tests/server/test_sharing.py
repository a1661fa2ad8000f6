"""Developers, apps, access requests and grants."""

import uuid
from typing import Any

import pytest

from server import forge
from server.stand import Stand, code, decision, request_id, signed_request

pytestmark = pytest.mark.asyncio


async def test_an_app_can_be_looked_up(stand: Stand) -> None:
    """Owners and apps read a manifest with its signature; strangers do not."""
    owner, app = await stand.sign_up(), await stand.new_app()
    for token in (owner.token, app.token):
        found = (await stand.get(f"/apps/{app.app}", token)).json()
        assert found["manifest"] == forge.b64(app.manifest())
    assert code(await stand.get(f"/apps/{app.app}"))[0] == 401
    assert code(await stand.get(f"/apps/{uuid.uuid4()}", app.token)) == (404, "not-found")


async def test_an_app_registers_once_and_by_its_own_key(stand: Stand) -> None:
    """A manifest with a bad signature, a weak key, or a known id is refused."""
    app = await stand.new_app()
    manifest = app.manifest()
    right = forge.b64(forge.sign(app.key, "app-manifest", manifest))
    weak = manifest.replace(forge.public(app.key), bytes(32))
    wrong = {
        "again": ({"manifest": forge.b64(manifest), "signature": right}, (409, "conflict")),
        "signature": (
            {"manifest": forge.b64(manifest), "signature": forge.b64(bytes(64))},
            (422, "bad-signature"),
        ),
        "weak": ({"manifest": forge.b64(weak), "signature": right}, (422, "weak-key")),
        "cut": ({"manifest": forge.b64(manifest[:-1]), "signature": right}, (400, "malformed")),
    }
    for name, (body, expected) in wrong.items():
        assert code(await stand.post("/apps", body, app.developer_key)) == expected, name
    assert code(await stand.post("/apps", wrong["again"][0], app.token))[0] == 401


NEWER = "a\U000e0fff"
"""With a character of a Unicode to come, in which it may have another normal form."""


async def test_an_app_s_name_in_characters_that_are_not_assigned_is_refused(
    sqlite_stand: Stand,
) -> None:
    """A manifest that a device of a newer Unicode might not read is no app's; emoji to come are."""
    stand = sqlite_stand
    app = await stand.new_app("To come: \U0001faff")

    async def register(name: str) -> tuple[int, str]:
        other = forge.App(name)
        manifest = other.manifest()
        signature = forge.b64(forge.sign(other.key, "app-manifest", manifest))
        body = {"manifest": forge.b64(manifest), "signature": signature}
        return code(await stand.post("/apps", body, app.developer_key))

    assert await register(NEWER) == (422, "invalid-input")


@pytest.mark.parametrize(
    "fields", [{"purpose": NEWER}, {"retention": "b\u0378"}, {"tags": ("a", NEWER)}]
)
async def test_a_request_in_characters_that_are_not_assigned_is_refused(
    sqlite_stand: Stand, fields: dict[str, Any]
) -> None:
    """No owner is asked what a device of a newer Unicode might not read, in no text of it."""
    stand = sqlite_stand
    owner, app = await stand.sign_up(), await stand.new_app()
    request = app.request(owner, created=stand.clock.now, **fields)
    answer = await stand.post("/access-requests", signed_request(app, request), app.token)
    assert code(answer) == (422, "invalid-input")
    assert (await stand.get("/access-requests", owner.token)).json() == []
    await stand.ask(app, owner, purpose="\U0001faff")


async def test_a_repeated_registration_shows_the_same_key(stand: Stand) -> None:
    """With its idempotency key a creation shows the secret again, which is nowhere stored."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"name": "A", "contact": "a@example.org"}
    first = await stand.post("/developers", body, headers=headers)
    again = await stand.post("/developers", body, headers=headers)
    assert first.json() == again.json()
    assert (await stand.post("/developers", body)).json() != first.json()
    other = await stand.post("/developers", body | {"name": "B"}, headers=headers)
    assert code(other) == (422, "idempotency-mismatch")
    stand.clock.advance(86_401)
    later = await stand.post("/developers", body | {"name": "B"}, headers=headers)
    assert later.status_code == 201
    bad = await stand.post("/developers", body, headers={"Idempotency-Key": "7"})
    assert code(bad) == (400, "malformed")


async def test_api_keys_are_added_and_taken_back(stand: Stand) -> None:
    """A further key and its tokens work until it is deleted; another developer sees nothing."""
    app, other = await stand.new_app(), await stand.new_app("Other")
    path = f"/apps/{app.app}/keys"
    made = (await stand.post(path, None, app.developer_key)).json()
    twin = forge.App()
    twin.key, twin.api_key = app.key, made["api_key"]
    await stand.authorize(twin)
    token = twin.token
    assert (await stand.get("/grants", token)).status_code == 200
    stand.clock.advance(1)
    assert (await stand.post(path, None, app.developer_key)).status_code == 201
    rows = (await stand.get(path, app.developer_key)).json()
    assert [row["last_used"] is None for row in rows] == [False, False, True]
    assert made["api_key"] not in str(rows)
    assert code(await stand.get(path, other.developer_key)) == (404, "not-found")
    for key_id, status in ((made["key_id"], 204), (made["key_id"], 404)):
        answer = await stand.delete(f"{path}/{key_id}", app.developer_key)
        assert answer.status_code == status
    assert code(await stand.take_token(twin)) == (401, "wrong-credentials")
    assert code(await stand.get("/grants", token)) == (401, "unauthenticated")
    assert (await stand.get("/grants", app.token)).status_code == 200


async def test_a_request_reaches_its_owner(stand: Stand) -> None:
    """The owner and the app see it, with everything needed to judge it; nobody else does."""
    owner, other = await stand.sign_up(), await stand.sign_up("bob")
    app, stranger = await stand.new_app(), await stand.new_app("Other")
    request = await stand.ask(app, owner)
    for token in (owner.token, app.token):
        row = (await stand.get("/access-requests", token)).json()[0]
        assert row["request"] == forge.b64(request)
        assert row["manifest"] == forge.b64(app.manifest())
        assert (row["state"], row["grant_id"], row["decided"]) == ("pending", None, None)
    for token in (other.token, stranger.token):
        assert (await stand.get("/access-requests", token)).json() == []
        answer = await stand.get(f"/access-requests/{request_id(request)}", token)
        assert code(answer) == (404, "not-found")


async def test_a_wrong_request_is_refused(stand: Stand) -> None:
    """A request by another app, for unknown owners, of wrong keys, or far in time is refused."""
    owner = await stand.sign_up()
    app, other = await stand.new_app(), await stand.new_app("Other")
    now = stand.clock.now
    good = app.request(owner, created=now)
    stranger = forge.Owner("nobody")
    impostor = forge.Owner("ada")
    impostor.account = owner.account
    wrong = {
        "another app's": (other, good, (422, "bad-signature")),
        "another app's id": (app, other.request(owner, created=now), (422, "invalid-input")),
        "no such owner": (app, app.request(stranger, created=now), (404, "not-found")),
        "other owner keys": (app, app.request(impostor, created=now), (422, "invalid-input")),
        "no scopes": (app, app.request(owner, scopes=(), created=now), (400, "malformed")),
        "unknown scope": (
            app,
            app.request(owner, scopes=("admin",), created=now),
            (400, "malformed"),
        ),
        "too short": (app, app.request(owner, seconds=3_599, created=now), (400, "malformed")),
        "too long": (
            app,
            app.request(owner, seconds=11 * 366 * 86_400, created=now),
            (400, "malformed"),
        ),
        "from the past": (app, app.request(owner, created=1), (422, "wrong-clock")),
        "from the future": (
            app,
            app.request(owner, created=now + 10**9),
            (422, "wrong-clock"),
        ),
    }
    for name, (signer, request, expected) in wrong.items():
        body = signed_request(signer, request)
        assert code(await stand.post("/access-requests", body, app.token)) == expected, name
    body = signed_request(app, good)
    assert code(await stand.post("/access-requests", body, owner.token)) == (403, "forbidden")
    assert (await stand.post("/access-requests", body, app.token)).status_code == 201
    assert code(await stand.post("/access-requests", body, app.token)) == (409, "conflict")


async def states(stand: Stand, token: str, query: str = "") -> list[str]:
    """The states of the requests a caller sees, newest first."""
    rows = (await stand.get(f"/access-requests{query}", token)).json()
    return [row["state"] for row in rows]


async def test_requests_come_to_an_end(stand: Stand) -> None:
    """Requests are superseded, cancelled, denied, or lapse; each is final."""
    owner, app = await stand.sign_up(), await stand.new_app()
    made = []
    for _ in range(2):
        made.append(await stand.ask(app, owner))
        stand.clock.advance(1)
    assert await states(stand, owner.token) == ["pending", "superseded"]
    cancel = f"/access-requests/{request_id(made[1])}/cancel"
    assert (await stand.post(cancel, None, app.token)).status_code == 204
    assert code(await stand.post(cancel, None, app.token)) == (409, "request-final")
    third = await stand.ask(app, owner)
    deny = f"/access-requests/{request_id(third)}/decision"
    answer = await stand.post(deny, {"decision": "deny"}, owner.token)
    assert answer.json() == {"state": "denied", "grant_id": None}
    assert (await stand.post(deny, {"decision": "deny"}, owner.token)).status_code == 200
    stand.clock.advance(1)
    fourth = await stand.ask(app, owner)
    stand.clock.advance(7 * 86_400)
    await stand.log_in(owner)
    assert await states(stand, owner.token) == ["lapsed", "denied", "cancelled", "superseded"]
    assert await states(stand, owner.token, "?state=lapsed") == ["lapsed"]
    assert await states(stand, owner.token, "?state=pending") == []
    late = f"/access-requests/{request_id(fourth)}/decision"
    assert code(await stand.post(late, {"decision": "deny"}, owner.token)) == (
        409,
        "request-final",
    )


async def test_an_approval_gives_credentials(stand: Stand) -> None:
    """After an approval the app gets the grant and its sealed key; before it does not."""
    owner, app = await stand.sign_up(), await stand.new_app()
    pending = await stand.ask(app, owner)
    path = f"/access-requests/{request_id(pending)}/credentials"
    assert code(await stand.get(path, app.token)) == (409, "not-approved")
    grant = await stand.grant(owner, app, activate=False)
    row = (await stand.get("/access-requests?state=approved", app.token)).json()[0]
    assert row["grant_id"] == str(grant)
    found = (await stand.get(f"/access-requests/{row['request_id']}/credentials", app.token)).json()
    assert found["grant"] == forge.b64(owner.statements[grant])
    assert found["account_card"] == forge.b64(owner.card())
    assert (found["grant_id"], found["state"]) == (str(grant), "activating")


async def test_an_approval_repeated_is_the_same(stand: Stand) -> None:
    """The same decision sent twice gives one grant and one entry."""
    owner, app = await stand.sign_up(), await stand.new_app()
    request = await stand.ask(app, owner)
    grant = forge.new_id()
    statement = forge.grant_statement(owner, app, request, grant=grant, created=stand.clock.now)
    body, append = decision(owner, grant, statement)
    path = f"/access-requests/{request_id(request)}/decision"
    first = await stand.post(path, body, owner.token)
    again = await stand.post(path, body, owner.token)
    assert first.json() == again.json() == {"state": "approved", "grant_id": str(grant)}
    owner.commit(append)
    assert (await stand.sync(owner))[0] == 4
    assert len((await stand.get("/grants", owner.token)).json()) == 1


async def test_an_approval_can_only_narrow(stand: Stand) -> None:
    """A grant wider than the request, for other keys, or not signed by the owner is refused."""
    owner, app = await stand.sign_up(), await stand.new_app()
    request = await stand.ask(app, owner, scopes=("read",), seconds=86_400)
    path = f"/access-requests/{request_id(request)}/decision"
    now, grant = stand.clock.now, forge.new_id()
    other_app = forge.App()
    other_app.app = app.app
    common: dict[str, Any] = {"grant": grant, "scopes": ("read",), "created": now}
    wrong = {
        "more scopes": forge.grant_statement(
            owner, app, request, **common | {"scopes": ("create", "read")}
        ),
        "longer": forge.grant_statement(owner, app, request, **common, seconds=86_401),
        "standing": forge.grant_statement(owner, app, request, **common, standing=1),
        "another request": forge.grant_statement(owner, app, b"other", **common),
        "another app key": forge.grant_statement(owner, other_app, request, **common),
    }
    right = forge.grant_statement(owner, app, request, **common)
    for name, part in (
        ("another app", app.app.bytes),
        ("another owner", owner.account.bytes),
        ("other keys of the owner", owner.keys_hash()),
    ):
        wrong[name] = right.replace(part, bytes(len(part)))
    clocks = {
        "over already": forge.grant_statement(
            owner, app, request, **common | {"created": now - 86_400_000_000}, seconds=86_400
        ),
        "to come": forge.grant_statement(
            owner, app, request, **common | {"created": now + 300_000_001}
        ),
    }
    for name, statement in (wrong | clocks).items():
        body, _ = decision(owner, grant, statement)
        answer = await stand.post(path, body, owner.token)
        expected = "wrong-clock" if name in clocks else "invalid-input"
        assert code(answer) == (422, expected), name
    backwards = forge.grant_statement(
        owner, app, request, **common | {"created": now + 200_000_000}, seconds=-100
    )
    body, _ = decision(owner, grant, backwards)
    assert code(await stand.post(path, body, owner.token)) == (400, "malformed")
    unsigned, _ = decision(owner, grant, right)
    unsigned["grant"]["signature"] = forge.b64(bytes(64))
    assert code(await stand.post(path, unsigned, owner.token)) == (422, "bad-signature")
    bare, _ = decision(owner, grant, right)
    bare["append"] = forge.as_json(owner.append())
    assert code(await stand.post(path, bare, owner.token)) == (422, "invalid-input")
    body, _ = decision(owner, grant, right)
    assert code(await stand.post(path, body, app.token)) == (403, "forbidden")
    parts = "grant", "append"
    for half in (
        {"decision": "approve"},
        *({"decision": said, part: body[part]} for said in ("approve", "deny") for part in parts),
    ):
        assert code(await stand.post(path, half, owner.token)) == (422, "invalid-input")
    assert await states(stand, owner.token) == ["pending"]
    assert (await stand.post(path, body, owner.token)).status_code == 200


async def test_a_grant_is_seen_by_its_two_sides(stand: Stand) -> None:
    """Owner and app see the grant, the owner more of it; nobody else sees it."""
    owner, app = await stand.sign_up(), await stand.new_app()
    other, stranger = await stand.sign_up("bob"), await stand.new_app("Other")
    grant = await stand.grant(owner, app)
    for_owner = (await stand.get(f"/grants/{grant}", owner.token)).json()
    for_app = (await stand.get(f"/grants/{grant}", app.token)).json()
    extra = {"owner_wrap", "generation", "request", "request_signature"}
    extra |= {"manifest", "manifest_signature", "wraps_changed"}
    assert set(for_owner) - set(for_app) == extra
    assert for_owner["state"] == "active"
    for token in (other.token, stranger.token):
        assert code(await stand.get(f"/grants/{grant}", token)) == (404, "not-found")
        assert (await stand.get("/grants", token)).json() == []


async def test_the_state_of_a_grant_decides_what_the_app_gets(stand: Stand) -> None:
    """Only an active grant serves; pausing, resuming and revoking are in force at once."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app, activate=False)

    async def refusal() -> tuple[int, str]:
        return code(await stand.get(f"/grants/{grant}/records", app.token))

    assert await refusal() == (403, "grant-activating")
    await stand.post(f"/grants/{grant}/activate", None, owner.token)
    assert (await stand.get(f"/grants/{grant}/records", app.token)).status_code == 200
    assert (await stand.set_state(owner, grant, "paused", 2)).json() == {"state": "paused"}
    assert await refusal() == (403, "grant-paused")
    assert (await stand.set_state(owner, grant, "active", 3)).json() == {"state": "active"}
    assert (await stand.get(f"/grants/{grant}/head", app.token)).status_code == 200
    assert (await stand.set_state(owner, grant, "revoked", 4)).json() == {"state": "revoked"}
    assert await refusal() == (403, "grant-revoked")
    assert code(await stand.set_state(owner, grant, "active", 5)) == (409, "conflict")
    answer = await stand.post(f"/grants/{grant}/activate", None, owner.token)
    assert code(answer) == (409, "conflict")


async def test_a_grant_ends_by_time(stand: Stand) -> None:
    """After its expiry the grant is refused as expired, and can still be revoked."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    stand.clock.advance(86_400)
    await stand.authorize(app)
    answer = await stand.get(f"/grants/{grant}/records", app.token)
    assert code(answer) == (403, "grant-expired")
    assert (await stand.get(f"/grants/{grant}", owner.token)).json()["state"] == "ended"
    assert (await stand.set_state(owner, grant, "revoked", 2)).status_code == 200


async def test_a_state_changes_only_with_its_entry(stand: Stand) -> None:
    """A state without its entry, or with one of a wrong version or digest, stays."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    right = forge.hash_of(owner.statements[grant])
    for leaves in (
        [],
        [owner.entry("pause", grant, 3, right)],
        [owner.entry("pause", grant, 2, bytes(32))],
        [owner.entry("revoke", grant, 2, right)],
        [owner.entry("pause", forge.new_id(), 2, right)],
    ):
        body = {"state": "paused", "append": forge.as_json(owner.append(*leaves))}
        answer = await stand.post(f"/grants/{grant}/state", body, owner.token)
        assert code(answer) == (422, "invalid-input")
    assert (await stand.get(f"/grants/{grant}", owner.token)).json()["state"] == "active"


async def test_a_state_change_repeated_is_the_same(stand: Stand) -> None:
    """A lost answer can be asked for again."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    digest = forge.hash_of(owner.statements[grant])
    append = owner.append(owner.entry("pause", grant, 2, digest))
    body = {"state": "paused", "append": forge.as_json(append)}
    for _ in range(2):
        answer = await stand.post(f"/grants/{grant}/state", body, owner.token)
        assert answer.json() == {"state": "paused"}
    assert (await stand.sync(owner))[0] == 5
