"""Many calls at once on one vault, or on one grant: each sees it whole, and nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from coffret import AsyncApp, AsyncVault
from coffret.transport import AsyncDriver
from coffret_vault.store.store import Store
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from coffret import AsyncAccess
    from harness.world import Owner, World

MEMORIES = 12
ROUNDS = 4


@pytest.fixture
def owner(world: World) -> Owner:
    """An owner with some memories."""
    made = world.owner()
    for number in range(MEMORIES):
        made.vault.remember(f"fact {number} about figs", tags=["chat"])
    return made


def in_threads(*works: Callable[[], Any]) -> list[Any]:
    """Do all of it at the same time."""
    with ThreadPoolExecutor(len(works)) as pool:
        return [done.result(60) for done in [pool.submit(work) for work in works]]


def test_searches_beside_writing_with_asyncio(world: World, owner: Owner) -> None:
    """Whatever is written between them, searches of one vault find all that was there before."""
    place = owner.vault.folder
    owner.vault.close()

    async def work() -> None:
        vault = AsyncVault.open(place, **world.around())
        async with vault:
            await vault.unlock(PASSPHRASE, owner.secret_key)
            for number in range(ROUNDS):
                writing = [vault.remember(f"more figs {number} {turn}") for turn in range(4)]
                others = asyncio.gather(*writing, vault.index())
                found = await asyncio.gather(
                    *(vault.search(f"figs {turn}", limit=100) for turn in range(4))
                )
                await others
                least = MEMORIES + 4 * number
                assert all(least <= len(hits) <= least + 4 for hits in found)
            assert len(await vault.search("figs", limit=100)) == MEMORIES + 4 * ROUNDS

    asyncio.run(work())


def test_searches_of_a_grant_with_asyncio(world: World, owner: Owner) -> None:
    """Many searches at once under one grant give all hits each, also right after a writing."""
    app = world.app()
    request = world.granted(owner, app, tags={"chat"}, scopes={"read", "create"})[1]
    assert request.memories()
    (identifier,) = app.requests()

    async def work() -> None:
        async with AsyncApp.load(app._state.path, **world.around()) as loaded:
            access: AsyncAccess = await loaded.access(identifier)
            for number in range(ROUNDS):
                await access.remember(f"more figs {number}", tags=["chat"])
                found = await asyncio.gather(
                    *(access.search(f"figs {turn}", limit=100) for turn in range(6))
                )
                assert {len(hits) for hits in found} == {MEMORIES + number + 1}

    asyncio.run(work())


def test_a_vault_in_threads(world: World, owner: Owner) -> None:
    """Threads that write, read and search one vault raise no alarm, and lose nothing."""
    vault = owner.vault
    (first, *_) = vault.list()

    def write(name: str) -> Callable[[], None]:
        def work() -> None:
            for number in range(ROUNDS):
                vault.remember(f"{name} {number} figs")
                vault.update(first.id, content=f"figs by {name} {number}")

        return work

    def read() -> None:
        for _ in range(4 * ROUNDS):
            assert len(list(vault.list())) >= MEMORIES
            assert "figs" in vault.get(first.id).content
            assert vault.status().entries
            assert vault.tags()["chat"] == MEMORIES
            assert not vault.pending()
            assert not vault.grants()

    def search() -> None:
        for _ in range(ROUNDS):
            assert len(vault.search("figs", limit=100)) >= MEMORIES

    in_threads(write("a"), write("b"), write("c"), read, read, search, search, vault.sync)
    assert len(list(vault.list())) == MEMORIES + 3 * ROUNDS
    assert vault.check() == 0
    assert len(list(world.device(owner).list())) == MEMORIES + 3 * ROUNDS


def test_a_grant_in_threads(world: World, owner: Owner) -> None:
    """Threads that share an app's access read, write and search what is there."""
    _, access = world.granted(owner, world.app(), tags={"chat"}, scopes={"read", "create"})

    def work(name: str) -> Callable[[], None]:
        def go() -> None:
            for number in range(ROUNDS):
                access.remember(f"{name} {number} figs", tags=["chat"])
                assert len(access.search("figs", limit=100)) >= MEMORIES
                assert len(access.memories()) >= MEMORIES

        return go

    in_threads(*map(work, "abcd"))
    assert len(access.memories()) == MEMORIES + 4 * ROUNDS


def test_a_search_that_is_not_wanted_any_more_ends_before_what_comes_next() -> None:
    """Whoever is cancelled keeps the turn until the thread is through."""
    begun, go_on, seen = threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        go_on.wait(30)
        seen.append("slow")

    async def work() -> None:
        driver = AsyncDriver("http://127.0.0.1:9")
        first = asyncio.create_task(driver.alone(slow))
        await asyncio.to_thread(begun.wait, 30)
        second = asyncio.create_task(driver.alone(seen.append, "next"))
        for _ in range(3):
            first.cancel()
            await asyncio.sleep(0)
        assert not first.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        await second
        await driver.close()

    asyncio.run(work())
    assert seen == ["slow", "next"]


def test_a_thread_sees_no_half_of_a_transaction(tmp_path: Path) -> None:
    """What one thread has begun and not committed, another one waits for."""
    store, inside = Store(tmp_path / "store.db"), threading.Event()
    seen: list[bytes | None] = []

    def read() -> None:
        inside.wait(30)
        seen.append(store.meta("name"))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        with store.known.change():
            store._database.execute("INSERT INTO meta VALUES ('name', x'00')")
            inside.set()
            threading.Event().wait(0.05)
            store._database.execute("UPDATE meta SET value = x'01' WHERE name = 'name'")
        reading.result(30)
    store.close()
    assert seen == [b"\1"]
