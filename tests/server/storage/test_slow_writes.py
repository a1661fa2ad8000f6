"""A change that takes long, those in its group, and everybody who writes nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from coffret_server.problems import ProblemError, refuse
from coffret_server.storage import open_storage, sqlite
from coffret_server.turns import PAGES_AT_ONCE

if TYPE_CHECKING:
    from pathlib import Path

    from coffret_server.storage import Storage, Tx
    from server.stand import Stand

COUNT = 30_000
SECONDS = 30
_ADD = "INSERT INTO settings (name, value) VALUES (?, ?)"
_NAMES = "SELECT group_concat(name) FROM (SELECT name FROM settings ORDER BY name)"
_LONG = (
    "UPDATE settings SET value = CAST((WITH RECURSIVE n(i) AS"
    " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT COUNT(*) FROM n) AS BLOB)"
    " WHERE name = ?"
)


class _Change:
    """Writes a row, and over it for as long as it is told to; notes in which threads."""

    def __init__(self, name: str, count: int = 0, *, fails: bool = False) -> None:
        self.name, self.count, self.fails = name, count, fails
        self.threads: list[int] = []

    async def __call__(self, tx: Tx) -> str:
        self.threads.append(threading.get_ident())
        await tx.run(_ADD, self.name, b"")
        if self.count:
            await tx.run(_LONG, self.count, self.name)
        if self.fails:
            refuse("not-found", "there is no such thing")
        return self.name


@pytest.mark.attack(61)
@pytest.mark.asyncio
async def test_a_long_change_is_made_beside_the_loop(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is begun anew in a thread, with its whole group; each of that is done once, and rightly.

    What is refused in it leaves nothing, and those who come later are done where all are.
    """
    monkeypatch.setattr(sqlite, "_WHILE", 0.0)
    storage: Storage = sqlite_stand.app.state.services.storage
    here, before = threading.get_ident(), (await storage.one(_NAMES) or [""])[0]
    short, refused = _Change("a"), _Change("b", fails=True)
    long, last = _Change("c", COUNT), _Change("d")
    group = [storage.submit(each) for each in (short, refused, long, last)]
    found = await asyncio.gather(*group, return_exceptions=True)
    assert isinstance(found.pop(1), ProblemError)
    assert found == ["a", "c", "d"]
    assert await storage.one(_NAMES) == (f"a,c,d,{before}",)
    row = await storage.one("SELECT value FROM settings WHERE name = 'c'")
    assert row == (str(COUNT).encode(),)
    assert [each.threads[0] == here for each in (short, refused, long)] == [True] * 3
    assert [each.threads[-1] == here for each in (short, refused, long, last)] == [False] * 4
    monkeypatch.setattr(sqlite, "_WHILE", SECONDS)
    after = _Change("e")
    assert await storage.submit(after) == "e"
    assert after.threads == [here]


@pytest.mark.asyncio
async def test_others_are_served_while_a_change_is_made(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who only reads waits for nobody's change, however long it is."""
    monkeypatch.setattr(sqlite, "_WHILE", 0.0)
    storage: Storage = sqlite_stand.app.state.services.storage
    owner = await sqlite_stand.sign_up()
    begun, go_on, here = threading.Event(), threading.Event(), threading.get_ident()

    async def change(tx: Tx) -> None:
        if threading.get_ident() != here:
            begun.set()
            assert go_on.wait(SECONDS)
        await tx.run(_LONG, COUNT, "jwt-key")

    changing = asyncio.create_task(storage.submit(change))
    assert await asyncio.to_thread(begun.wait, SECONDS)
    assert (await sqlite_stand.get("/sync", owner.token)).status_code == 200
    assert (await sqlite_stand.get("/grants", owner.token)).status_code == 200
    assert not changing.done()
    go_on.set()
    await changing


@pytest.mark.attack(61)
@pytest.mark.asyncio
async def test_apps_that_read_meanwhile_keep_nobody_from_reading(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That an app read is a change too: while there is a long one, it is noted another time.

    Of pages so few are made at once that apps which waited there would keep everybody else waiting.
    """
    monkeypatch.setattr("coffret_server.noting.PATIENCE", 0.01)
    owner, app = await sqlite_stand.sign_up(), await sqlite_stand.new_app()
    grant = await sqlite_stand.grant(owner, app)
    storage: Storage = sqlite_stand.app.state.services.storage
    async with asyncio.timeout(SECONDS), storage.write():
        path = f"/grants/{grant}/records"
        sent = [sqlite_stand.get(path, app.token) for _ in range(PAGES_AT_ONCE)]
        assert {answer.status_code for answer in await asyncio.gather(*sent)} == {200}
        assert (await sqlite_stand.get("/sync", owner.token)).status_code == 200


@pytest.mark.asyncio
async def test_a_process_ends_in_the_midst_of_a_long_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it any more: it is given up, whole, and what was acknowledged stays."""
    monkeypatch.setattr(sqlite, "_WHILE", 0.0)
    url = f"sqlite:///{tmp_path / 'coffret.db'}"
    storage, short = await open_storage(url), _Change("a")
    assert await storage.submit(short) == "a"
    begun, here = threading.Event(), threading.get_ident()

    async def endless(tx: Tx) -> None:
        await tx.run(_ADD, "b", b"")
        if threading.get_ident() != here:
            begun.set()
        await tx.run(_LONG, 1 << 60, "b")

    changing = asyncio.create_task(storage.submit(endless))
    assert await asyncio.to_thread(begun.wait, SECONDS)
    changing.cancel()
    async with asyncio.timeout(SECONDS):
        await storage.close()
    again = await open_storage(url)
    assert await again.one(_NAMES) == ("a",)
    await again.close()
