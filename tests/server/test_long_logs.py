"""What was deleted leaves its entries: a log in which versions are written has an end."""

import pytest

from coffret_server import grants
from coffret_server.append import LEAVES_LIMIT
from coffret_server.wire.identity import KEYSLOTS_LIMIT
from server import forge
from server.changes import Change, make
from server.stand import Stand, code, decision, request_id
from server.test_accounts import keyslots_body, put_keyslots
from server.test_app_writing import judge
from server.test_settings import put as settle
from server.test_settings import settling

pytestmark = pytest.mark.asyncio
FULL = (429, "quota-exceeded")


async def test_nobody_stores_entries_without_end(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes and deletes in turn is refused one day, though nothing counts of what is stored.

    To delete, to refuse what apps wrote and to end their grants is possible all the same.
    """
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    before = (await stand.get("/accounts/me", owner.token)).json()["usage"]
    kept, waiting = owner.memory(), app.memory(owner.account, grant)
    assert (await stand.append(owner, owner.put(kept))).is_success
    await stand.write(app, grant, app.put(owner.account, waiting), owner)
    monkeypatch.setattr("coffret_server.rows.LENGTH", owner.tree.size + 4)
    monkeypatch.setattr("coffret_server.rows.LENGTH_A_MEMORY", 0)
    for _ in range(2):
        record = owner.memory()
        assert (await stand.append(owner, owner.put(record))).is_success
        await delete(stand, owner, record)
    assert code(await stand.append(owner, owner.put(owner.memory()))) == FULL
    await delete(stand, owner, kept)
    assert (await judge(stand, owner, "reject", waiting)).is_success
    assert (await stand.set_state(owner, grant, "revoked", 2)).status_code == 200
    usage = (await stand.get("/accounts/me", owner.token)).json()["usage"]
    assert usage == before


async def delete(stand: Stand, owner: forge.Owner, record: forge.Record) -> None:
    """Delete a memory that has one version."""
    memory = forge.identity_of(record[0])[0]
    entry = owner.entry("delete", memory, 2, forge.digest_of(record))
    assert (await stand.append(owner, owner.append(entry))).is_success


async def test_no_app_fills_the_log_of_an_owner(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apps are refused while there is as much left for the owner as there was for all."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    monkeypatch.setattr("coffret_server.rows.LENGTH", 2 * (owner.tree.size + 2))
    monkeypatch.setattr("coffret_server.rows.LENGTH_A_MEMORY", 0)
    for expected in (201, 201, 429):
        record = app.memory(owner.account, grant)
        answer = await stand.write(app, grant, app.put(owner.account, record), owner)
        assert answer.status_code == expected
    for _ in range(owner.tree.size):
        await stand.remember(owner)
    assert code(await stand.append(owner, owner.put(owner.memory()))) == FULL


async def test_what_is_said_again_and_again_has_an_end(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings, pauses, keyslots and grants are refused in a log twice as long as one for versions.

    So nobody stores without end by them, and whoever filled a log with versions has as much room
    for them. A change of all keys, which ends every grant, is taken all the same.
    """
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    asked = await stand.ask(app, owner)
    length = owner.tree.size
    monkeypatch.setattr("coffret_server.rows.LENGTH", length)
    monkeypatch.setattr("coffret_server.rows.LENGTH_A_MEMORY", 0)
    assert code(await stand.append(owner, owner.put(owner.memory()))) == FULL
    for version in range(1, length + 1):
        append = owner.append(*settling(owner, version))
        assert (await settle(stand, owner, append)).status_code == 204
        owner.commit(append)
    more = owner.append(*settling(owner, length + 1))
    assert code(await settle(stand, owner, more)) == FULL
    assert code(await stand.set_state(owner, grant, "paused", 2)) == FULL
    new = forge.Keyslot(owner.account)
    leaf = owner.entry("keyslot", new.slot, 1, forge.hash_of(new.raw()))
    slots, _ = keyslots_body(owner, [*owner.slots, new], [leaf])
    assert code(await put_keyslots(stand, owner, slots)) == FULL
    another = forge.new_id()
    now = stand.clock.now
    statement = forge.grant_statement(owner, app, asked, grant=another, created=now)
    path = f"/access-requests/{request_id(asked)}/decision"
    approval, _ = decision(owner, another, statement)
    assert code(await stand.post(path, approval, owner.token)) == FULL
    change = Change(owner)
    change.grants = {grant: (2, owner.statements[grant])}
    assert (await make(stand, change)).status_code == 204


async def test_an_app_that_proposes_deletions_has_an_end(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused and proposed again in turn, they are entries too, and end where its versions do."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant, record = await stand.grant(owner, app), owner.memory()
    memory = forge.identity_of(record[0])[0]
    assert (await stand.append(owner, owner.put(record))).is_success
    await stand.share(owner, grant, memory)
    monkeypatch.setattr("coffret_server.rows.LENGTH", 2 * (owner.tree.size + 1))
    monkeypatch.setattr("coffret_server.rows.LENGTH_A_MEMORY", 0)
    for version, expected in ((2, 201), (3, 429)):
        leaf = app.leaf(owner.account, "delete", memory, version, forge.digest_of(record))
        answer = await stand.write(app, grant, {"leaves": [leaf]}, owner)
        assert answer.status_code == expected
        if answer.is_success:
            entry = owner.entry("reject", memory, version, forge.digest_of(record))
            assert (await stand.append(owner, owner.append(entry))).is_success


async def test_an_account_has_no_more_grants_than_a_key_change_ends(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grants stay when they are over: who approves without end is refused one day, and told why.

    However many are not over, with the most keyslots that come and go a key change is one append.
    """
    assert grants.LIMIT + 2 * KEYSLOTS_LIMIT + 1 <= LEAVES_LIMIT
    monkeypatch.setattr("coffret_server.grants.LIMIT", 2)
    owner, app = await stand.sign_up(), await stand.new_app()
    for _ in range(2):
        grant = await stand.grant(owner, app)
        assert (await stand.set_state(owner, grant, "revoked", 2)).status_code == 200
    asked, another = await stand.ask(app, owner), forge.new_id()
    now = stand.clock.now
    statement = forge.grant_statement(owner, app, asked, grant=another, created=now)
    path = f"/access-requests/{request_id(asked)}/decision"
    approval, _ = decision(owner, another, statement)
    refused = await stand.post(path, approval, owner.token)
    assert code(refused) == (429, "quota-exceeded")
    assert "retry-after" in refused.headers
    other = await stand.sign_up("bob")
    await stand.grant(other, app)


async def test_a_developer_has_so_many_apps(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused, until one is deleted; the same call again is no other app."""
    monkeypatch.setattr("coffret_server.control.developers.APPS_LIMIT", 2)
    first = await stand.new_app()
    key = {"Idempotency-Key": str(forge.new_id())}
    second, third = forge.App("Second"), forge.App("Third")
    for _ in range(2):
        answer = await stand.post("/apps", _registration(second), first.developer_key, headers=key)
        assert answer.status_code == 201
    refused = await stand.post("/apps", _registration(third), first.developer_key)
    assert code(refused) == (409, "conflict")
    await stand.delete(f"/apps/{second.app}", first.developer_key)
    answer = await stand.post("/apps", _registration(third), first.developer_key)
    assert answer.status_code == 201


def _registration(app: forge.App) -> dict[str, str]:
    manifest = app.manifest()
    signature = forge.sign(app.key, "app-manifest", manifest)
    return {"manifest": forge.b64(manifest), "signature": forge.b64(signature)}
