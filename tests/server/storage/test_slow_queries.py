"""A query that takes long, and everybody else, who have nothing to do with it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from coffret_server.problems import ProblemError, refuse
from coffret_server.storage import open_storage, sqlite

if TYPE_CHECKING:
    from coffret_server.storage import Tx
    from server.stand import Stand

COUNT = 3_000_000
SECONDS = 30
_LONG = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
    " SELECT COUNT(*) FROM n"
)


class _Job:
    """Counts to a number in SQL; notes in which threads it is done."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.threads: list[int] = []
        self.again = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    async def __call__(self, tx: Tx) -> Any:
        if self.threads:
            self.again.set()
            assert self.may_end.wait(SECONDS)
        self.threads.append(threading.get_ident())
        row = await tx.one(_LONG, self.count)
        return row and row[0]


@pytest.mark.asyncio
async def test_a_long_query_stops_nobody(sqlite_stand: Stand) -> None:
    """It is done beside the event loop, on which others' are done meanwhile, and rightly."""
    storage, here = sqlite_stand.app.state.services.storage, threading.get_ident()
    long = _Job(COUNT)
    long.may_end.clear()
    waiting = asyncio.create_task(storage.query(long))
    assert await asyncio.to_thread(long.again.wait, SECONDS)
    short = _Job(1)
    assert await storage.query(short) == 1
    assert not waiting.done()
    long.may_end.set()
    assert await waiting == COUNT
    assert short.threads == [here]
    assert long.threads[0] == here != long.threads[1]


@pytest.mark.asyncio
async def test_a_long_query_is_refused_as_any(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a job refuses, it refuses in a thread too; and those after it are done."""
    monkeypatch.setattr(sqlite, "_MOMENT", -1.0)
    storage = sqlite_stand.app.state.services.storage

    async def refused(tx: Tx) -> None:
        await tx.one(_LONG, COUNT // 100)
        refuse("not-found", "there is no such thing")

    with pytest.raises(ProblemError, match="no such thing"):
        await storage.query(refused)
    job = _Job(COUNT // 100)
    assert await storage.query(job) == COUNT // 100
    assert len(job.threads) == 2
    assert await storage.one("SELECT 1") is not None
    await storage.submit(_Job(COUNT // 100))


@pytest.mark.asyncio
async def test_no_long_query_keeps_a_server_from_ending(sqlite_url: str) -> None:
    """Told to close, the database gives up what still goes on."""
    storage = await open_storage(sqlite_url)
    long = _Job(10**12)
    waiting = asyncio.create_task(storage.query(long))
    assert await asyncio.to_thread(long.again.wait, SECONDS)
    await storage.close()
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        await waiting


@pytest.mark.asyncio
async def test_a_group_of_long_changes_lets_others_in_between(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes that wait together are one transaction; who reads need not wait for all of it."""
    monkeypatch.setattr(sqlite, "_MOMENT", 0.0)
    storage, jobs = sqlite_stand.app.state.services.storage, [_Job(COUNT // 20) for _ in range(6)]
    changes = [asyncio.create_task(storage.submit(job)) for job in jobs]
    done: set[int] = set()
    while not all(change.done() for change in changes):
        assert await storage.query(_Job(1)) == 1
        done.add(sum(bool(job.threads) for job in jobs))
        await asyncio.sleep(0)
    assert done >= {1, 2, 3, 4, 5, 6}
