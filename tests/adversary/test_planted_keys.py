"""Wraps that open nothing lie on a device: planted in its folder, or by a server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.errors import StoreAlteredError, TrustError
from coffret_vault.formats.layout import parse_id
from harness.folders import Stage, shown
from harness.network import Evil

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Vault
    from harness.folders import Plant
    from harness.world import World


def _set(what: str) -> Plant:
    """Change something of the record of one memory, for which no digest speaks."""

    def plant(database: sqlite3.Connection, stage: Stage) -> None:
        database.execute(
            f"UPDATE records SET {what} WHERE memory_id = ? AND version = 2",  # noqa: S608 - a constant
            (parse_id(stage.changed),),
        )

    return plant


PLANTS: dict[str, Plant] = {
    "a wrap of zeros": _set("wrap = zeroblob(length(wrap))"),
    "no wrap": _set("wrap = x''"),
    "no key that wraps": _set("kek = x''"),
    "a key that is not there": _set("kek = x'000000000000000063'"),
    "a wrap that is a text": _set("wrap = 'text'"),
    "an envelope that is a number": _set("envelope = 7"),
}

USES: dict[str, Callable[[Vault, Stage], object]] = {
    "list": lambda vault, _: vault.list(),
    "a short list": lambda vault, _: vault.list(limit=9),
    "tags": lambda vault, _: vault.tags(),
    "export": lambda vault, _: list(vault.export()),
    "search": lambda vault, _: vault.search("second", mode="words"),
    "get": lambda vault, stage: vault.get(stage.changed),
    "update": lambda vault, stage: vault.update(stage.changed, content="third"),
}


@pytest.mark.attack(49)
@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("use", USES)
def test_a_key_that_was_planted_is_said_once_and_fetched_again(
    world: World, plant: str, use: str
) -> None:
    """It is named, everything else goes on, and the next sync brings what was there."""
    stage = Stage(world)
    vault = stage.planted(PLANTS[plant])
    with pytest.raises(StoreAlteredError, match="not by this vault"):
        USES[use](vault, stage)
    assert stage.changed not in {memory.id for memory in vault.list()}
    assert stage.other in {memory.id for memory in vault.list()}
    assert vault.search("second", mode="words") == []
    assert vault.check() == 1
    vault.sync()
    assert shown(vault) == stage.truth
    assert vault.evidence() == []


@pytest.mark.attack(49)
def test_keys_of_several_memories_are_named_together(world: World) -> None:
    """Who lists is told of all of them at once, by their ids."""
    owner = world.owner()
    ids = [owner.vault.remember(f"number {number}").id for number in range(3)]
    folder = world.face.unwrapped(owner.vault).folder
    with closing(sqlite3.connect(folder / "store.db")) as database, database:
        database.execute(
            "UPDATE records SET wrap = zeroblob(length(wrap)) WHERE memory_id <> ?",
            (parse_id(ids[0]),),
        )
    with pytest.raises(StoreAlteredError) as said:
        owner.vault.list()
    assert ids[0] not in str(said.value)
    assert all(name in str(said.value) for name in ids[1:])
    assert [memory.id for memory in owner.vault.list()] == ids[:1]
    owner.vault.sync()
    assert len(owner.vault.list()) == len(ids)


def _other_wraps(page: Any) -> None:
    """Every record of a page under a wrap that opens nothing."""
    for item in page[2]:
        if item[1] is not None:
            item[1][3] = bytes(len(item[1][3]))


def _no_records(page: Any) -> None:
    for item in page[2]:
        item[1] = None


@pytest.mark.attack(49)
def test_a_proposal_s_key_by_a_server_does_not_stay_when_it_is_accepted(world: World) -> None:
    """What a server spoilt while it waited is fetched again once another device accepted it."""
    owner, evil = world.owner(), Evil()
    _, access = world.granted(owner, world.app())
    device = world.device(owner, transport=evil)
    proposed = access.remember("proposed").id
    evil.rewrite["/sync"] = _other_wraps
    device.sync()
    assert [item.proposed for item in device.pending()] == [None]
    owner.vault.sync()
    owner.vault.accept(proposed)
    evil.rewrite["/sync"] = _no_records
    with pytest.raises(TrustError, match="withholds memories"):
        device.sync()
    assert device.list() == []
    evil.rewrite.clear()
    device.sync()
    assert [memory.content for memory in device.list()] == ["proposed"]


@pytest.mark.attack(49)
def test_where_an_app_s_memories_stand_is_read_again_in_one_sync(world: World) -> None:
    """What lies under a row that was changed is judged by the log, not by that row."""
    owner = world.owner()
    _, access = world.granted(owner, world.app())
    ids = [access.remember(text).id for text in ("one", "two")]
    owner.vault.sync()
    for name in ids:
        owner.vault.accept(name)
    truth = shown(owner.vault)
    folder = world.face.unwrapped(owner.vault).folder
    with closing(sqlite3.connect(folder / "store.db")) as database, database:
        rows = database.execute("SELECT memory_id, state FROM memories").fetchall()
        for (memory_id, _), (_, other) in zip(rows, reversed(rows), strict=True):
            database.execute(
                "UPDATE memories SET state = ? WHERE memory_id = ?", (other, memory_id)
            )
        database.execute("UPDATE records SET wrap = zeroblob(length(wrap))")
    with pytest.raises(StoreAlteredError, match="read again"):
        owner.vault.sync()
    assert shown(owner.vault) == truth
