"""Who waits for a commit, and that whoever it is, nothing is acknowledged before it."""

import sqlite3
from pathlib import Path

import pytest

from coffret_server.storage import Tx, open_storage
from coffret_server.storage.pace import IN_THREAD, SLOW_SECONDS, Pace
from coffret_server.storage.sqlite import SqliteStorage


def test_the_loop_commits_while_the_disk_is_quick() -> None:
    """As long as no commit is slow, none is handed away."""
    pace = Pace()
    for _ in range(100):
        assert pace.is_quick()
        pace.took(SLOW_SECONDS)


def test_a_slow_commit_sends_the_next_to_the_thread_for_a_while() -> None:
    """A slow disk stops the loop once in many commits, and a quick one is found again."""
    pace = Pace()
    assert pace.is_quick()
    pace.took(SLOW_SECONDS * 2)
    assert [pace.is_quick() for _ in range(IN_THREAD + 1)] == [False] * IN_THREAD + [True]


@pytest.mark.asyncio
@pytest.mark.parametrize("slow", [False, True])
async def test_what_is_acknowledged_is_committed(tmp_path: Path, *, slow: bool) -> None:
    """On the loop or in the thread: when a write returns, another connection sees it."""
    path = tmp_path / "coffret.db"
    storage = await open_storage(f"sqlite:///{path}")
    assert isinstance(storage, SqliteStorage)
    storage._pace.took(SLOW_SECONDS * 2 if slow else 0)

    async def add(tx: Tx) -> None:
        await tx.run("INSERT INTO settings (name, value) VALUES (?, ?)", "one", b"")

    await storage.submit(add)
    other = sqlite3.connect(path)
    assert other.execute("SELECT name FROM settings").fetchall() == [("one",)]
    other.close()
    assert not storage._writer.in_transaction
    await storage.close()
