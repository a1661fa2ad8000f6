"""What a proof reads does not grow with the log as the log does."""

import os
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from coffret_server import merkle
from coffret_server.data.tree import read_hashes
from coffret_server.storage import Tx
from coffret_server.storage.base import Row, Value
from coffret_server.storage.open import migrate
from server.stand import Clock, serving
from server.storage.going_back import go_back
from server.test_merkle import path, small_runs, subproof

pytestmark = pytest.mark.asyncio
LEAVES = 303
RUNS = 3 * 256 + 5
"""Of a log of three wide runs and a bit."""


class Counting:
    """A transaction that counts the rows it reads."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.read = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    async def all(self, sql: str, *values: Value) -> Sequence[Row]:
        """Every row of a query."""
        rows = await self._tx.all(sql, *values)
        self.read += len(rows)
        return rows


async def test_proofs_over_wide_runs_are_right(
    database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With runs so small that there are many, a server's proofs are those of the RFC."""
    small_runs(monkeypatch)
    async with serving(database, clock) as stand:
        owner = await stand.sign_up()
        for _ in range(3):
            records = [owner.memory() for _ in range(100)]
            assert (await stand.append(owner, owner.put(*records))).is_success
        log = msgspec.msgpack.decode((await stand.get("/log", owner.token)).content)
        leaves = log["leaves"]
        assert len(leaves) == LEAVES
        for size in (16, 33, 64, 256, LEAVES):
            for index in {0, 15, 16, 31, 200, size - 1} & set(range(size)):
                asked = f"/log/proof?index={index}&size={size}"
                found = msgspec.msgpack.decode((await stand.get(asked, owner.token)).content)
                assert found["proof"] == path(index, leaves[:size])
                asked = f"/log/proof?first={index}&size={size}"
                found = msgspec.msgpack.decode((await stand.get(asked, owner.token)).content)
                first = subproof(index, leaves[:size], whole=True) if index else []
                assert found["proof"] == first

        async def read(tx: Tx) -> int:
            counting = Counting(tx)
            await read_hashes(counting, owner.account.bytes, (0, LEAVES))
            return counting.read

        wide, runs, ends = LEAVES // 16, 4 + 3, 4 + 3
        assert await stand.app.state.services.storage.query(read) == wide + runs + ends


async def test_wide_runs_of_before_are_made(database: str, clock: Clock) -> None:
    """A log that grew without them has them after the migration: the roots of their runs."""
    hashes = [os.urandom(32) for _ in range(RUNS)]
    async with serving(database, clock) as stand:
        account = (await stand.sign_up()).account.bytes

        async def grow(tx: Tx) -> None:
            await tx.run("UPDATE logs SET size = ?", RUNS * merkle.TILE + 7)
            rows = [(account, index, each) for index, each in enumerate(hashes)]
            await tx.many("INSERT INTO tiles (account_id, idx, hash) VALUES (?, ?, ?)", rows)

        await stand.app.state.services.storage.submit(grow)
    await go_back(database, "0009")
    await migrate(database)
    async with serving(database, clock) as stand:

        async def wide(tx: Tx) -> list[Row]:
            return [*await tx.all("SELECT idx, hash FROM tiles WHERE idx < 0 ORDER BY idx DESC")]

        found = await stand.app.state.services.storage.query(wide)
    expected = []
    for index in range(3):
        frontier = merkle.Frontier()
        frontier.extend(hashes[index * 256 : (index + 1) * 256])
        expected.append((merkle.wide(index), frontier.root()))
    assert [(row[0], row[1]) for row in found] == expected
