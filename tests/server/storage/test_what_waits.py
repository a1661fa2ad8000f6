"""The migration that counts what waits, and erases what was rejected before it."""

from typing import Any

import pytest

from coffret_server.schema import REJECTED
from coffret_server.storage import Tx
from coffret_server.storage.open import migrate
from server.stand import Clock, serving
from server.storage.going_back import go_back
from server.test_app_writing import judge
from server.test_waiting import counted, usage, waiting

pytestmark = pytest.mark.asyncio


async def test_what_was_rejected_before_is_given_back(database: str, clock: Clock) -> None:
    """Its records go, the usage is less by them and by the memories, and what waits is counted."""
    async with serving(database, clock) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        grant = await stand.grant(owner, app)
        memory = await stand.remember(owner)
        await stand.share(owner, grant, memory)
        made, again = app.memory(owner.account, grant), app.memory(owner.account, grant, memory, 2)
        update = app.memory(owner.account, grant, memory, 3)
        for record in (made, again, update):
            await stand.write(app, grant, app.put(owner.account, record), owner)
        for record in (made, again):
            await judge(stand, owner, "reject", record)
        expected = (await usage(stand, owner), await waiting(stand))
        assert expected[1] == [await counted(stand, owner)]

        async def as_before(tx: Tx) -> None:
            kept: Any = bytes(1_000)
            args = (kept, owner.account.bytes, REJECTED)
            await tx.run("UPDATE entries SET record = ? WHERE account_id = ? AND status = ?", *args)
            await tx.run("UPDATE logs SET bytes = bytes + 2000, memories = memories + 1")

        await stand.app.state.services.storage.submit(as_before)
    await go_back(database, "0005")
    await migrate(database)
    async with serving(database, clock) as stand:
        await stand.log_in(owner)
        assert (await usage(stand, owner), await waiting(stand)) == expected

        async def left(tx: Tx) -> int:
            rows = await tx.all("SELECT seq FROM entries WHERE status = 2 AND record IS NOT NULL")
            return len(rows)

        assert await stand.app.state.services.storage.query(left) == 0
