"""Damage on the device: the store, the index, a full disk."""

from __future__ import annotations

import random
import sqlite3
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import Fields, NewMemory, Vault
from coffret_vault.errors import (
    CoffretError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
)
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import World


def _uses(vault: Vault, memory_id: str) -> list[object]:
    return [
        vault.get(memory_id),
        list(vault.list()),
        vault.tags(),
        vault.pending(),
        vault.grants(),
        vault.search("trip"),
        list(vault.export()),
        vault.status(),
        vault.history(memory_id),
        vault.remember("one more"),
        vault.sync(),
    ]


def test_a_damaged_store_is_an_error_and_never_a_crash(world: World, tmp_path: Path) -> None:
    """Whatever bytes of the store are changed, each use works or raises an error of ours."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("trip", tags=["t"])
    world.granted(owner, app, tags=["t"])[1].update(memory.id, content="trip changed")
    owner.vault.sync()
    owner.vault.close()
    path = owner.vault.folder / "store.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    whole = path.read_bytes()
    chance = random.Random(7)  # noqa: S311 - chooses bytes to damage
    refused = 0
    for number in range(60):
        folder = tmp_path / f"damaged-{number}"
        folder.mkdir()
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 4, 64))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        (folder / "store.db").write_bytes(damaged)
        try:
            vault = Vault.open(folder, **world.around())
        except CoffretError:
            refused += 1
            continue
        with vault:
            try:
                vault.unlock(PASSPHRASE, owner.secret_key)
                _uses(vault, memory.id)
            except CoffretError:
                refused += 1
    assert refused > 10
    assert world.device(owner).get(memory.id).content == "trip"


@pytest.mark.parametrize("content", [b"", b"not a database at all", bytes(8192)])
def test_a_file_that_is_no_store_is_said_to_be_damaged(
    world: World, tmp_path: Path, content: bytes
) -> None:
    """A store that is empty is no vault; one that is something else is damaged."""
    (tmp_path / "store.db").write_bytes(content)
    with pytest.raises(CoffretError) as raised:
        Vault.open(tmp_path, **world.around())
    assert raised.value.code in {"not-found", "store-damaged"}


def test_a_store_of_a_newer_version_is_left_alone(world: World) -> None:
    """A store that a newer program made is refused, not damaged and not changed."""
    owner = world.owner()
    owner.vault.close()
    path = owner.vault.folder / "store.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="newer"):
        Vault.open(owner.vault.folder)


@pytest.mark.attack(49)
def test_a_store_whose_kinds_are_changed_is_damaged(world: World) -> None:
    """Values that SQLite now calls text or numbers are damage, whichever table they are in."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("trip")
    world.granted(owner, app)
    for column in (
        "meta.value", "memories.state", "records.header", "records.envelope", "records.wrap",
        "records.kek", "grants.body", "leaves.leaf",
    ):  # fmt: skip
        table, name = column.split(".")
        for value in ("'text'", "5", "1.5"):
            database = owner.vault._state.store._database
            database.execute("BEGIN")
            database.execute(f"UPDATE {table} SET {name} = {value}")  # noqa: S608 - constants
            try:
                with pytest.raises(StoreDamagedError):
                    _uses(owner.vault, memory.id)
            finally:
                database.execute("ROLLBACK")
            owner.vault._finder.drop()


def test_a_damaged_index_is_built_again(world: World) -> None:
    """An index file that was changed anywhere, cut, or replaced is rebuilt; search goes on."""
    owner = world.owner()
    owner.vault.remember("the lighthouse keeper")
    owner.vault.search("lighthouse")
    path = owner.vault.folder / "index.sealed"
    whole = path.read_bytes()
    chance = random.Random(3)  # noqa: S311 - chooses bytes to damage
    damaged = [b"", whole[:-1], whole[: len(whole) // 2], whole + b"\0", bytes(len(whole))]
    for _ in range(20):
        at = chance.randrange(len(whole))
        wrong = bytes([whole[at] ^ (1 + chance.randrange(255))])
        damaged.append(whole[:at] + wrong + whole[at + 1 :])
    for content in damaged:
        path.write_bytes(content)
        owner.vault._finder.drop()
        (hit,) = owner.vault.search("lighthouse")
        assert hit.memory.content == "the lighthouse keeper"
        assert path.read_bytes() not in damaged


def test_a_full_disk_loses_nothing(world: World) -> None:
    """A store that cannot grow says so, at a writing and at a sync; later all is there."""
    owner = world.owner()
    other = world.device(owner)
    first = owner.vault.remember("before")
    database = owner.vault._state.store._database
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    large = [NewMemory(Fields(content=f"{number} " + "x" * 4_000)) for number in range(50)]
    with patch("coffret.flows.batches.BATCH", 1), pytest.raises(StoreFullError):
        owner.vault.remember_many(large)
    kept = {memory.content for memory in owner.vault.list()}
    other.remember("by the other device" + "y" * 40_000)
    with pytest.raises(StoreFullError):
        owner.vault.sync()
    assert {memory.content for memory in owner.vault.list()} == kept
    database.execute("PRAGMA max_page_count = 1000000")
    owner.vault.sync()
    mine = {memory.content for memory in owner.vault.list()}
    assert mine == {memory.content for memory in world.device(owner).list()}
    assert len(mine - kept) >= 1
    assert owner.vault.get(first.id).content == "before"


def test_a_full_disk_at_sign_up_leaves_the_name_free(world: World) -> None:
    """A vault that cannot be kept here is not made on the server either."""
    name = f"{world.owner().username}-again"
    place = world.place()
    with (
        patch("coffret_vault.store.store.Store.commit", side_effect=StoreFullError),
        pytest.raises(StoreFullError),
    ):
        Vault.create(world.url, name, PASSPHRASE, place, **world.around())
    vault, _ = Vault.create(world.url, name, PASSPHRASE, place, **world.around())
    world.closing(vault)


def test_an_index_that_cannot_be_written_costs_no_search(world: World) -> None:
    """Search works with a full disk; only the next start has to index again."""
    owner = world.owner()
    owner.vault.remember("the lighthouse keeper")
    with patch("coffret.finding.save_snapshot", side_effect=StoreFullError):
        assert len(owner.vault.search("lighthouse")) == 1
    assert not (owner.vault.folder / "index.sealed").exists()
    owner.vault.remember("another lighthouse")
    assert len(owner.vault.search("lighthouse")) == 2
    assert (owner.vault.folder / "index.sealed").exists()
