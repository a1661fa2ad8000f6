"""Lists of a vault: what they open, and what they do not have to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows.keys import open_memory
from coffret_vault.errors import LockedError, StoreAlteredError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import parse_header, serialize_header

if TYPE_CHECKING:
    from coffret import Vault
    from coffret_vault.records.memory import Memory
    from harness.world import Owner, World

OLD = datetime(2020, 1, 1, tzinfo=UTC)


def _filled(world: World) -> Owner:
    """Memories that show their tags, that seal them, and one that an app wrote; two changed."""
    owner = world.owner()
    for number in range(6):
        owner.vault.remember(
            f"number {number}",
            tags=["even" if number % 2 == 0 else "odd"],
            type="goal" if number < 2 else "fact",
            importance=number / 10,
            created=OLD if number == 3 else None,
            sealed=number in {2, 3},
        )
    first = owner.vault.list()[-1]
    _, access = world.granted(owner, world.app(), scopes={"read", "create"}, auto_accept=True)
    access.remember("by an app", tags=["odd"])
    owner.vault.sync()
    for waits in owner.vault.pending():
        owner.vault.accept(waits.memory_id)
    owner.vault.update(first.id, content="changed")
    return owner


def _opened_by(vault: Vault, **wanted: Any) -> list[str]:
    """What a list with groups of two opens."""
    opened: list[str] = []

    def opening(*given: Any) -> Memory:
        memory = open_memory(*given)
        opened.append(memory.content)
        return memory

    with patch("coffret.listing.open_memory", opening), patch("coffret.listing._READ_TOGETHER", 2):
        vault.list(**wanted)
    return opened


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"tags": ["odd"]},
        {"any_tags": ["even", "other"]},
        {"importance": 0.2},
        {"authors": ["owner"]},
        {"until": datetime(2021, 1, 1, tzinfo=UTC)},
        {"types": ["goal"]},
        {"tags": ["even"], "types": ["fact"]},
        {"tags": ["none"]},
    ],
    ids=str,
)
def test_a_short_list_is_the_beginning_of_a_whole_one(world: World, wanted: dict[str, Any]) -> None:
    """Whatever narrows it, and whether memories show it or not, a limit only cuts a list off."""
    vault = _filled(world).vault
    whole = vault.list(**wanted)
    assert all(memory in vault.list() for memory in whole)
    with patch("coffret.listing._READ_TOGETHER", 2):
        for limit in range(9):
            assert vault.list(**wanted, limit=limit) == whole[:limit]


def test_a_list_opens_what_it_takes(world: World) -> None:
    """A short list opens the newest ones, and a filter none that shows that it does not pass."""
    vault = _filled(world).vault
    assert len(_opened_by(vault)) == 7
    assert _opened_by(vault, limit=2) == ["changed", "by an app"]
    assert _opened_by(vault, limit=0) == []
    assert sorted(_opened_by(vault, tags=["even"])) == sorted(
        ["by an app", "changed", "number 2", "number 3", "number 4"]
    )
    assert _opened_by(vault, until=datetime(2021, 1, 1, tzinfo=UTC)) == ["number 3"]


def test_a_locked_vault_gives_no_list(world: World) -> None:
    """Nor one that would be empty, since what it is made of is compared with nothing then."""
    vault = _filled(world).vault
    vault.lock()
    early = {"until": datetime(2000, 1, 1, tzinfo=UTC)}
    for wanted in ({}, early, {"limit": 3}, {"limit": 0}, {"tags": ["none"], "limit": 3}):
        with pytest.raises(LockedError):
            vault.list(**wanted)


@pytest.mark.attack(49)
def test_a_time_that_was_changed_hides_no_memory_from_a_short_list(world: World) -> None:
    """Who writes to a device's folder makes no memory look older than it is: it is noticed."""
    vault = _filled(world).vault
    newest = vault.list(limit=1)[0]
    place = (parse_id(newest.id), newest.version)
    where = "WHERE memory_id = ? AND version = ?"
    with closing(sqlite3.connect(vault.folder / "store.db")) as database, database:
        query = f"SELECT header FROM records {where}"  # noqa: S608 - question marks
        header = parse_header(database.execute(query, place).fetchone()[0])
        older = msgspec.structs.replace(header, created=1, updated=1)
        change = f"UPDATE records SET header = ? {where}"  # noqa: S608 - question marks
        database.execute(change, (serialize_header(older), *place))
    with pytest.raises(StoreAlteredError):
        vault.list(limit=1)
    vault.sync()
    assert vault.list(limit=1) == [newest]
