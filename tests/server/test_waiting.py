"""What waits for an owner under each grant is bounded; what is rejected is given back."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from coffret_server.held import SIZE
from coffret_server.storage import Tx
from server import forge
from server.stand import Clock, Stand, code, serving
from server.test_app_writing import judge, records, shown, wrap_of

pytestmark = pytest.mark.asyncio
FULL = (429, "quota-exceeded")


@pytest_asyncio.fixture
async def few(database: str, clock: Clock) -> AsyncIterator[Stand]:
    """A server on each engine where three things may wait under a grant."""
    async with serving(database, clock, waiting_entries=3) as found:
        yield found


async def usage(stand: Stand, owner: forge.Owner) -> tuple[int, int]:
    """Memories and bytes, as the owner is told."""
    told = (await stand.get("/accounts/me", owner.token)).json()["usage"]
    return told["memories"], told["bytes"]


async def waiting(stand: Stand) -> list[tuple[int, int]]:
    """Entries and bytes that wait under each grant, as they are counted."""

    async def job(tx: Tx) -> list[tuple[int, int]]:
        rows = await tx.all("SELECT entries, bytes FROM waiting")
        return [(row[0], row[1]) for row in rows]

    found: list[tuple[int, int]] = await stand.app.state.services.storage.query(job)
    return found


async def counted(stand: Stand, owner: forge.Owner) -> tuple[int, int]:
    """The same, from the records themselves."""

    async def job(tx: Tx) -> tuple[int, int]:
        row = await tx.one(
            "SELECT COUNT(*), COALESCE(SUM(LENGTH(e.record)), 0) FROM entries e"
            " JOIN memories m ON m.account_id = e.account_id AND m.memory_id = e.subject"
            " WHERE e.account_id = ? AND e.status = 1 AND m.deleted = 0",
            owner.account.bytes,
        )
        assert row is not None
        return row[0], int(row[1])

    found: tuple[int, int] = await stand.app.state.services.storage.query(job)
    return found


async def test_what_is_rejected_is_given_back(stand: Stand) -> None:
    """Creations and updates: the usage is what it was, and nobody is shown a record any more."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    memory = await stand.remember(owner)
    await stand.share(owner, grant, memory)
    before = await usage(stand, owner)
    made = app.memory(owner.account, grant)
    update = app.memory(owner.account, grant, memory, 2)
    for record in (made, update):
        answer = await stand.write(app, grant, app.put(owner.account, record), owner)
        assert answer.status_code == 201
    assert (await usage(stand, owner))[0] == before[0] + 1
    for record in (made, update):
        assert (await judge(stand, owner, "reject", record)).status_code == 200
    assert await usage(stand, owner) == before
    assert await waiting(stand) == [(0, 0)]
    answer = await stand.get(f"/memory-blobs/{memory}/versions", owner.token)
    rows = msgspec.msgpack.decode(answer.content)
    assert [(row[0] is None, row[2]) for row in rows] == [(False, "accepted"), (True, "rejected")]
    answer = await stand.get(f"/memory-blobs/{memory}?version=2", owner.token)
    assert code(answer) == (404, "not-found")
    told = [item for item in (await records(stand, app, grant))[1] if item[4] == "rejected"]
    assert [item[1:4] for item in told] == [[b"", 1, b""]] * 2
    for leaf in (0, 6):  # the one by which it was written, and the owner's no
        assert {forge.subject_of(item[leaf])[0] for item in told} == {
            forge.identity_of(made[0])[0],
            memory,
        }


async def test_a_memory_counts_while_something_of_it_is_there(stand: Stand) -> None:
    """A creation that is rejected, proposed again, taken over by its owner, and deleted."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    before = await usage(stand, owner)
    made = app.memory(owner.account, grant)
    memory = forge.identity_of(made[0])[0]
    again = app.memory(owner.account, grant, memory, 2)
    for record in (made, again):
        await stand.write(app, grant, app.put(owner.account, record), owner)
        assert (await usage(stand, owner))[0] == 1
    await judge(stand, owner, "reject", again)
    assert await shown(stand, app, grant) == [(memory, 1, "pending"), (memory, 2, "rejected")]
    assert (await usage(stand, owner))[0] == 1
    await judge(stand, owner, "reject", made)
    assert await usage(stand, owner) == before
    mine = owner.memory(memory, 3)
    assert (await stand.append(owner, owner.put(mine))).status_code == 200
    assert (await usage(stand, owner))[0] == 1
    entry = owner.entry("delete", memory, 4, forge.digest_of(mine))
    assert (await stand.append(owner, owner.append(entry))).status_code == 200
    assert await usage(stand, owner) == before
    assert await shown(stand, app, grant) == []


async def test_a_rejected_creation_that_is_deleted_counts_once(stand: Stand) -> None:
    """It was given back when it was rejected."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    await stand.remember(owner)
    before = await usage(stand, owner)
    made = app.memory(owner.account, grant)
    await stand.write(app, grant, app.put(owner.account, made), owner)
    await judge(stand, owner, "reject", made)
    memory = forge.identity_of(made[0])[0]
    entry = owner.entry("delete", memory, 2, forge.digest_of(made))
    assert (await stand.append(owner, owner.append(entry))).status_code == 200
    assert await usage(stand, owner) == before
    assert await shown(stand, app, grant) == []


@pytest.mark.attack(61)
async def test_so_much_may_wait_under_a_grant(few: Stand) -> None:
    """The app is refused then, no other one is, nor the owner; each decision makes room."""
    owner, app, other = await few.sign_up(), await few.new_app(), await few.new_app("Other")
    grant, elsewhere = await few.grant(owner, app), await few.grant(owner, other)
    memory = await few.remember(owner)
    await few.share(owner, grant, memory)
    updates = [app.memory(owner.account, grant, memory, n) for n in (2, 3)]
    made = app.memory(owner.account, grant)
    body = app.put(owner.account, *updates, made)
    assert (await few.write(app, grant, body, owner)).status_code == 201

    async def more() -> Any:
        return await few.write(
            app, grant, app.put(owner.account, app.memory(owner.account, grant)), owner
        )

    size = owner.tree.size
    refused = await more()
    assert code(refused) == FULL
    assert int(refused.headers["retry-after"]) > 60
    assert (await few.sync(owner))[0] == size
    again = await few.send("POST", f"/grants/{grant}/memory-blobs", body, app.token)
    assert again.status_code == 201
    theirs = other.put(owner.account, other.memory(owner.account, elsewhere))
    assert (await few.write(other, elsewhere, theirs, owner)).status_code == 201
    await few.remember(owner)
    await judge(few, owner, "accept", made, accepts=[wrap_of(made)])
    assert (await more()).status_code == 201
    assert code(await more()) == FULL
    await judge(few, owner, "reject", updates[0])
    leaf = app.leaf(owner.account, "delete", memory, 4, forge.digest_of(updates[1]))
    assert (await few.write(app, grant, {"leaves": [leaf]}, owner)).status_code == 201
    assert code(await more()) == FULL
    assert sum(entries for entries, _ in await waiting(few)) == 4
    gone = owner.append(owner.entry("delete", memory, 5, forge.digest_of(updates[1])))
    assert (await few.append(owner, gone)).status_code in {200, 409}
    gone = owner.append(owner.entry("accept", memory, 4, forge.digest_of(updates[1])))
    assert (await few.append(owner, gone)).status_code in {200, 409}
    assert (await more()).status_code == 201
    found = await waiting(few)
    assert (sum(n for n, _ in found), sum(size for _, size in found)) == await counted(few, owner)


@pytest.mark.parametrize("bounds", [{"waiting_bytes": 5_000}, {"quota_bytes": 20_000}])
async def test_so_many_bytes_may_wait_under_a_grant(
    database: str, clock: Clock, bounds: dict[str, int]
) -> None:
    """By the setting, and by the quarter of what the account has room for."""
    async with serving(database, clock, **bounds) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        grant = await stand.grant(owner, app)
        before = (await usage(stand, owner))[1]
        made = [app.memory(owner.account, grant) for _ in range(30)]
        answers = []
        for record in made:
            body = app.put(owner.account, record)
            answers.append(await stand.write(app, grant, body, owner))
        taken = sum(answer.is_success for answer in answers)
        assert {code(answer) for answer in answers[taken:]} == {FULL}
        used = (await usage(stand, owner))[1] - before
        assert 4_000 < used - taken * SIZE <= 5_000
        await judge(stand, owner, "reject", made[0])
        body = app.put(owner.account, made[taken])
        assert (await stand.write(app, grant, body, owner)).is_success


async def test_a_quarter_of_an_account_s_memories_may_wait(database: str, clock: Clock) -> None:
    """An app cannot take the place of what the owner has to write."""
    async with serving(database, clock, quota_memories=8) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        grant = await stand.grant(owner, app)
        answers = []
        for _ in range(3):
            body = app.put(owner.account, app.memory(owner.account, grant))
            answers.append(await stand.write(app, grant, body, owner))
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        for _ in range(6):
            await stand.remember(owner)
