"""Somebody writes to a locked device's folder where its memories are to stand.

An older version as the newest, a proposal as accepted, a memory that is gone or is there again: the
device refuses all of it, and reads it again from the owner's log. Controls are devices of before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows.keys import open_record
from coffret_vault.errors import OpenError, StoreAlteredError
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import parse_header
from coffret_vault.log.replay import MemoryState
from coffret_vault.records.memory import Fields
from coffret_vault.records.seal import Stamp, seal_version
from harness.folders import TABLES, Stage, believing, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from coffret import Vault
    from harness.folders import Plant
    from harness.world import World

_decode = msgspec.msgpack.Decoder(MemoryState).decode
_encode = msgspec.msgpack.Encoder().encode


def _whole(found: object) -> None:
    """What a vault gives is read to its end."""
    if isinstance(found, Iterator):
        list(found)


def _put(database: sqlite3.Connection, table: str, row: tuple[object, ...]) -> None:
    marks = ", ".join("?" * len(row))
    database.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)  # noqa: S608 - a table of ours


def _back(stage: Stage, database: sqlite3.Connection, memory_id: str) -> None:
    """One memory as it stood before, with its record."""
    key = parse_id(memory_id)
    for table in TABLES:
        database.execute(f"DELETE FROM {table} WHERE memory_id = ?", (key,))  # noqa: S608 - one of two
        for row in stage.before[table]:
            if row[0] == key:
                _put(database, table, row)


def _turned_back(database: sqlite3.Connection, stage: Stage) -> None:
    """The first version of what has two."""
    _back(stage, database, stage.changed)


def _undeleted(database: sqlite3.Connection, stage: Stage) -> None:
    """The memory that was deleted."""
    _back(stage, database, stage.deleted)


def _with_the_old_seal(database: sqlite3.Connection, stage: Stage) -> None:
    """Every row of before with their own genuine seal, beside the log of now."""
    for table in TABLES:
        database.execute(f"DELETE FROM {table}")  # noqa: S608 - one of two
        for row in stage.before[table]:
            _put(database, table, row)
    for row in stage.before["meta"]:
        _put(database, "meta", row)


def _removed(database: sqlite3.Connection, stage: Stage) -> None:
    """One row less."""
    database.execute("DELETE FROM memories WHERE memory_id = ?", (parse_id(stage.changed),))


def _inserted(database: sqlite3.Connection, stage: Stage) -> None:
    """One row more: the deleted memory's, with a state of its own making."""
    state = MemoryState(newest=1, current=1, digest=b"d" * 32, newest_digest=b"d" * 32)
    key = parse_id(stage.grant_id)
    _put(database, "memories", (key, 1, 0, _encode(state)))
    (row,) = database.execute(
        "SELECT * FROM records WHERE memory_id = ?", (parse_id(stage.changed),)
    )
    _put(database, "records", (key, 1, *row[2:]))


def _swapped(database: sqlite3.Connection, stage: Stage) -> None:
    """Two memories' rows change places."""
    keys = parse_id(stage.other), parse_id(stage.proposed)
    rows = [
        database.execute("SELECT * FROM memories WHERE memory_id = ?", (key,)).fetchone()
        for key in keys
    ]
    for key, row in zip(keys, reversed(rows), strict=True):
        _put(database, "memories", (key, *row[1:]))


def _accepted(database: sqlite3.Connection, stage: Stage) -> None:
    """What the app proposed, as the owner would have accepted it."""
    key = parse_id(stage.proposed)
    (body,) = database.execute("SELECT state FROM memories WHERE memory_id = ?", (key,)).fetchone()
    (item,) = _decode(body).proposals
    state = msgspec.structs.replace(
        _decode(body),
        current=item.version,
        digest=item.digest,
        leaf=item.leaf,
        reviewed=1_700_000_000_000_000,
        proposals=(),
        author=item.app_id,
    )
    _put(database, "memories", (key, 1, 0, _encode(state)))


def _hidden(database: sqlite3.Connection, _stage: Stage) -> None:
    """Nothing waits, says a column beside the states."""
    database.execute("UPDATE memories SET pending = 0")


def _emptied(database: sqlite3.Connection, _stage: Stage) -> None:
    """Nothing was ever here."""
    database.execute("DELETE FROM memories")


PLANTS: dict[str, Plant] = {
    "a memory is turned back": _turned_back,
    "a deletion is undone": _undeleted,
    "all is turned back, with its seal": _with_the_old_seal,
    "a row is taken away": _removed,
    "a row is added": _inserted,
    "two rows change places": _swapped,
    "a proposal is accepted": _accepted,
    "proposals are hidden": _hidden,
    "there are no rows": _emptied,
}


@pytest.mark.attack(49)
@pytest.mark.parametrize("plant", PLANTS)
def test_where_memories_stand_is_refused_and_read_again(world: World, plant: str) -> None:
    """Nothing of it is shown or written on; a sync says so and reads the log; all is as it was."""
    stage = Stage(world)
    vault = stage.planted(PLANTS[plant])
    for act in (
        vault.status,
        vault.list,
        vault.pending,
        vault.memory_ids,
        lambda: vault.get(stage.changed),
        lambda: vault.search("first", mode="words"),
        lambda: vault.update(stage.changed, content="third"),
        lambda: vault.accept(stage.proposed),
        lambda: vault.forget(stage.other),
    ):
        with pytest.raises(StoreAlteredError, match=r"memories were changed .* not by this vault"):
            _whole(act())
    with pytest.raises(StoreAlteredError, match=r"memories were changed .* read again"):
        vault.sync()
    assert shown(vault) == stage.truth
    vault.sync()
    vault.update(stage.changed, content="third")
    vault.accept(stage.proposed)
    again = stage.opened()
    assert shown(again) == shown(vault) == shown(world.device(stage.owner))


@pytest.mark.control(49)
@pytest.mark.parametrize("plant", PLANTS)
def test_a_device_that_believes_its_folder_shows_what_was_planted(world: World, plant: str) -> None:
    """Control: without the seal each of these is what the owner is shown."""
    stage = Stage(world)
    with believing():
        vault = stage.planted(PLANTS[plant])
        try:
            assert shown(vault) != stage.truth
        except OpenError:
            assert plant == "a row is added"


@pytest.mark.attack(49)
def test_states_without_a_seal_are_read_again(world: World) -> None:
    """As an older Coffret left them, or as somebody would have it look: what the log says is."""
    stage = Stage(world)

    def plant(database: sqlite3.Connection, stage: Stage) -> None:
        _turned_back(database, stage)
        database.execute("DELETE FROM meta WHERE name = 'states'")

    vault = stage.planted(plant)
    with pytest.raises(StoreAlteredError, match="older Coffret"):
        vault.get(stage.changed)
    vault.remember("new")  # this looks at the log by itself
    assert vault.get(stage.changed).content == "second"
    vault.sync()


@pytest.mark.attack(49)
def test_what_is_planted_beside_an_open_vault_is_refused(world: World) -> None:
    """Another program's change is noticed at the next use, not only at the next unlocking."""
    stage = Stage(world)
    vault = stage.opened()
    assert shown(vault) == stage.truth
    with closing(sqlite3.connect(vault.folder / "store.db")) as database, database:
        _accepted(database, stage)
    with pytest.raises(StoreAlteredError, match="not by this vault"):
        vault.list()
    with pytest.raises(StoreAlteredError, match="read again"):
        vault.sync()
    assert shown(vault) == stage.truth


def _forgery(stage: Stage) -> Plant:
    """Another text in the owner's name, under the memory's own key, which apps were given."""
    state = stage.world.face.unwrapped(stage.owner.vault)._state
    key = parse_id(stage.changed)
    record = state.store.record(key, 2)
    assert record is not None
    opened = open_record(state, record)
    header = opened.header
    stamp = Stamp(
        account_id=header.account_id,
        memory_id=key,
        version=2,
        key_number=header.key_number,
        author=OWNER,
        created=header.created,
        updated=header.updated,
    )
    forged = seal_version(stamp, Fields(content="forged"), opened.key, random=state.ambient.random)

    def plant(database: sqlite3.Connection, _stage: Stage) -> None:
        change = "UPDATE records SET header = ?, envelope = ? WHERE memory_id = ? AND version = 2"
        database.execute(change, (*forged, key))

    return plant


@pytest.mark.attack(49)
def test_a_record_that_the_log_does_not_name_is_fetched_again(world: World) -> None:
    """Who had a memory's key writes no other text in the owner's name into the folder."""
    stage = Stage(world)
    vault = stage.planted(_forgery(stage))
    with pytest.raises(StoreAlteredError, match="not by this vault"):
        vault.get(stage.changed)
    assert vault.check() == 1
    vault.sync()
    assert shown(vault) == stage.truth


@pytest.mark.control(49)
def test_a_device_that_compares_no_digest_shows_the_forged_record(world: World) -> None:
    """Control: the record opens, and is the owner's by its header."""
    stage = Stage(world)
    with believing():
        vault = stage.planted(_forgery(stage))
        found = vault.get(stage.changed)
    assert (found.content, found.author) == ("forged", "owner")


def _fresh(database: sqlite3.Connection, stage: Stage) -> None:
    """The memory's key is younger than whatever ended, says its state."""
    key = parse_id(stage.changed)
    (body,) = database.execute("SELECT state FROM memories WHERE memory_id = ?", (key,)).fetchone()
    state = msgspec.structs.replace(_decode(body), begun=1_000)
    database.execute("UPDATE memories SET state = ? WHERE memory_id = ?", (_encode(state), key))


def _fresh_leaf(database: sqlite3.Connection, stage: Stage) -> None:
    """The memory's key is younger than whatever ended, says the entry that began it."""
    key = parse_id(stage.changed)
    (body,) = database.execute("SELECT state FROM memories WHERE memory_id = ?", (key,)).fetchone()
    (leaf,) = database.execute(
        "SELECT leaf FROM leaves WHERE at = ?", (_decode(body).begun,)
    ).fetchone()
    later = leaf[:-8] + (2**62).to_bytes(8, "big")
    database.execute("UPDATE leaves SET leaf = ? WHERE leaf = ?", (later, leaf))


def _key_number(vault: Vault, memory_id: str) -> int:
    """The number of a memory's key now."""
    store, key = vault._state.store, parse_id(memory_id)
    state = store.state(key)
    assert state is not None
    record = store.record(key, state.current)
    assert record is not None
    return parse_header(record.header).key_number


def covered() -> AbstractContextManager[object]:
    """A grant that is in force covers it: so its key is kept where it is not known to be stale."""
    return patch("coffret.flows.keys._may_be_held", return_value=True)


def _revoked(stage: Stage) -> None:
    """The app may read no more: the owner says so."""
    stage.owner.vault.revoke(stage.grant_id)


def _ended(stage: Stage) -> None:
    """The app may read no more: its month is over."""
    stage.world.clock.forward(days=40)


ENDS = [(_revoked, _fresh), (_ended, _fresh_leaf)]


@pytest.mark.attack(49)
@pytest.mark.parametrize(("end", "plant"), ENDS)
def test_no_key_is_made_to_look_fresh(
    world: World, end: Callable[[Stage], None], plant: Plant
) -> None:
    """What is written after a grant's end is under a fresh key, or is not written."""
    stage = Stage(world)
    end(stage)
    vault = stage.planted(plant)
    with pytest.raises(StoreAlteredError, match="not by this vault"):
        vault.update(stage.changed, content="third")
    if plant is _fresh:
        with pytest.raises(StoreAlteredError, match="read again"):
            vault.sync()
        vault.update(stage.changed, content="third")
        assert _key_number(vault, stage.changed) == 3


@pytest.mark.control(49)
@pytest.mark.parametrize(("end", "plant"), ENDS)
def test_a_device_that_believes_its_folder_keeps_the_key(
    world: World, end: Callable[[Stage], None], plant: Plant
) -> None:
    """Control: the next version is under the key that the app has kept."""
    stage = Stage(world)
    end(stage)
    with believing():
        vault = stage.planted(plant)
        with covered():
            vault.update(stage.changed, content="third")
        assert _key_number(vault, stage.changed) == 1
