"""A revocation against writings on their way: behind it no app's entry stands in the log."""

import asyncio
import contextlib
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import httpx
import msgspec
import pytest

from server import forge
from server.stand import Stand, code

pytestmark = pytest.mark.asyncio
Step = Callable[[], Coroutine[Any, Any, httpx.Response]]


@contextlib.asynccontextmanager
async def locked(stand: Stand, owner: forge.Owner) -> AsyncIterator[None]:
    """Another process holds what every writer of this owner's log waits for."""
    if stand.database.startswith("sqlite"):
        with contextlib.closing(
            sqlite3.connect(stand.database.removeprefix("sqlite:///"), isolation_level=None)
        ) as file:
            file.execute("BEGIN IMMEDIATE")
            yield
            file.execute("ROLLBACK")
        return
    connection = await asyncpg.connect(stand.database)
    async with connection.transaction():
        query = "SELECT size FROM logs WHERE account_id = $1 FOR UPDATE"
        await connection.execute(query, owner.account.bytes)
        yield
    await connection.close()


def steps(
    stand: Stand, owner: forge.Owner, app: forge.App, grant: uuid.UUID
) -> tuple[Step, Step, list[bytes]]:
    """A writing and a revocation, both made for the log as it stands; the writing's leaves."""
    body = app.put(owner.account, app.memory(owner.account, grant))

    async def write() -> httpx.Response:
        return await stand.send("POST", f"/grants/{grant}/memory-blobs", body, app.token)

    async def revoke() -> httpx.Response:
        return await stand.set_state(owner, grant, "revoked", 2)

    return write, revoke, body["leaves"]


@pytest.mark.parametrize("revoke_first", [False, True])
async def test_of_a_writing_and_a_revocation_one_wins(stand: Stand, revoke_first: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Both wait for the log: either the revocation has to be made anew, or the writing is void."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    assert (await stand.get(f"/grants/{grant}/head", app.token)).is_success
    write, revoke, leaves = steps(stand, owner, app, grant)
    order = (revoke, write) if revoke_first else (write, revoke)
    async with locked(stand, owner):
        waiting = []
        for step in order:
            waiting.append(asyncio.create_task(step()))
            await asyncio.sleep(0.1)  # lets it come as far as the lock; nothing depends on it
        assert not any(task.done() for task in waiting)
    answers = dict(zip(order, await asyncio.gather(*waiting), strict=True))
    written, revoked = answers[write], answers[revoke]
    if written.is_success:
        assert code(revoked) == (409, "log-moved")
        owner.follow(leaves)
        assert (await revoke()).is_success
    else:
        assert revoked.is_success
        assert code(written) == (403, "grant-revoked")
    assert code(await write()) == (403, "grant-revoked")
    kept = [leaf for leaf, _ in (await stand.sync(owner))[2]]
    assert kept[4:-1] == (leaves if written.is_success else [])


async def test_no_entry_of_an_app_follows_its_revocation(stand: Stand) -> None:
    """Of many writings sent beside a revocation those accepted stand before it."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    path = f"/grants/{grant}/memory-blobs"
    bodies = [app.put(owner.account, app.memory(owner.account, grant)) for _ in range(12)]

    async def revoke() -> None:
        while not (await stand.set_state(owner, grant, "revoked", 2)).is_success:
            size = owner.tree.size
            owner.follow([leaf for leaf, _ in (await stand.sync(owner, size))[2]])

    sent = [asyncio.create_task(stand.send("POST", path, body, app.token)) for body in bodies]
    await asyncio.gather(revoke(), *sent)
    answers = [task.result() for task in sent]
    _, head, items = await stand.sync(owner)
    assert head == owner.head
    assert b"revoke" in items[-1][0]
    assert len(items) - 5 == sum(answer.is_success for answer in answers)
    for answer in answers:
        if answer.is_success:
            assert msgspec.msgpack.decode(answer.content)["indexes"][0] < len(items) - 1
        else:
            # Or told to wait, while the owner who came too late comes again.
            assert code(answer) in {(403, "grant-revoked"), (429, "rate-limited")}
