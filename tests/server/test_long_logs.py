"""What was deleted leaves its entries: a log in which versions are written has an end."""

import pytest

from server import forge
from server.stand import Stand, code
from server.test_app_writing import judge

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
    assert (usage["memories"], usage["bytes"]) == (0, 0)


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
