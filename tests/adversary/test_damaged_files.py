"""Five hundred changes to the index and five hundred to the store: never a crash.

What is damaged is refused or made again. Nothing is parsed before it is authenticated: the index
library, which crashes on damaged files, never sees a byte that this vault's keys did not seal.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import pytest

from coffret import Vault
from coffret_vault.errors import CoffretError
from coffret_vault.search import SearchIndex
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.world import Owner, World

TIMES = 500


def _flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 8, 64))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(data)), chance.choice((4, 64, 512))
    filling = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    return data[:at] + filling[: len(data) - at] + data[at + size :]


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def _grow(data: bytes, chance: random.Random) -> bytes:
    return data + chance.randbytes(chance.choice((1, 16, 4_096)))


def _swap(data: bytes, chance: random.Random) -> bytes:
    """Exchange two blocks."""
    size = min(512, len(data) // 4)
    first, second = sorted(chance.sample(range(len(data) // size), 2))
    a, b = first * size, second * size
    middle = data[a + size : b]
    return data[:a] + data[b : b + size] + middle + data[a : a + size] + data[b + size :]


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _flip, _overwrite, _overwrite, _cut, _grow, _swap,
)  # fmt: skip


def damaged(whole: bytes, seed: int) -> Iterator[bytes]:
    """So many files, each unlike the whole one; the same in each run."""
    chance = random.Random(seed)  # noqa: S311 - chooses what to damage
    made = 0
    while made < TIMES:
        changed = chance.choice(DAMAGES)(whole, chance)
        if changed != whole:
            made += 1
            yield changed


@pytest.fixture
def owner(world: World) -> Owner:
    """Somebody with a few memories, and a search done."""
    found = world.owner()
    for number in range(6):
        found.vault.remember(f"the lighthouse keeper {number}", title=f"title {number}")
    found.vault.search("lighthouse")
    return found


@pytest.mark.attack(49)
def test_a_damaged_index_is_never_parsed_and_always_made_again(owner: Owner) -> None:
    """After each of 500 changes search finds all, from an index that was built anew."""
    path = owner.vault.folder / "index.sealed"
    whole = path.read_bytes()
    with patch.object(SearchIndex, "restore", wraps=SearchIndex.restore) as parser:
        for content in damaged(whole, 1):
            path.write_bytes(content)
            owner.vault._finder.drop()
            assert len(owner.vault.search("lighthouse")) == 6
            assert path.read_bytes() != content
        assert parser.call_count == 0
        owner.vault._finder.drop()
        assert len(owner.vault.search("lighthouse")) == 6
        assert parser.call_count == 1  # a whole one is


@pytest.mark.control(49)
def test_an_index_that_is_not_sealed_is_parsed_damaged(owner: Owner) -> None:
    """Control: without the seal what was damaged reaches the parser, each time."""
    path = owner.vault.folder / "index.sealed"
    with (
        patch("coffret_vault.store.snapshot.seal_stream", lambda _key, _context, plain: plain),
        patch("coffret_vault.store.snapshot.open_stream", lambda _key, _context, data: data),
        patch.object(SearchIndex, "restore", wraps=SearchIndex.restore) as parser,
    ):
        owner.vault.remember("another lighthouse")
        owner.vault.search("lighthouse")
        whole = path.read_bytes()
        for number, content in enumerate(damaged(whole, 1), 1):
            path.write_bytes(content)
            owner.vault._finder.drop()
            owner.vault.search("lighthouse")
            assert parser.call_count == number
            if number == 20:
                break


def uses(vault: Vault, *, searching: bool) -> None:
    """Everything that reads the store; searching takes longest, and reads what the others do."""
    for memory_id in list(vault.memory_ids()):
        vault.get(memory_id)
    vault.tags()
    vault.pending()
    vault.grants()
    vault.status()
    if searching:
        vault.search("lighthouse", mode="words")


@pytest.mark.attack(49)
def test_a_damaged_store_is_an_error_of_ours_or_does_no_harm(owner: Owner, world: World) -> None:
    """Of 500 changed stores each is refused by an error of ours or works, with no other words."""
    world.granted(owner, world.app())
    contents = {memory.content for memory in owner.vault.list()}
    owner.vault.close()
    path = owner.vault.folder / "store.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    away = httpx.MockTransport(lambda _: httpx.Response(503))
    refused = 0
    for number, content in enumerate(damaged(whole, 2)):
        folder = world.folder / f"damaged-{number}"
        folder.mkdir()
        (folder / "store.db").write_bytes(content)
        try:
            with Vault.open(folder, **world.around(transport=away)) as vault:
                vault.unlock(PASSPHRASE, owner.secret_key)
                uses(vault, searching=number % 10 == 0)
                assert {memory.content for memory in vault.list()} <= contents
        except CoffretError:
            refused += 1
    assert refused > TIMES // 4
    assert {memory.content for memory in world.device(owner).list()} == contents


@pytest.mark.control(49)
def test_a_store_that_is_read_without_its_seals_shows_other_words(owner: Owner) -> None:
    """Control: titles and tags as plain columns would have it would be changed unnoticed."""
    store = owner.vault._state.store._database
    columns = {row[1] for row in store.execute("PRAGMA table_info(records)")}
    assert {"header", "envelope"} <= columns
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as weak:
        weak.execute("CREATE TABLE plain (title TEXT, content TEXT)")
        memories = [(memory.title, memory.content) for memory in owner.vault.list()]
        weak.executemany("INSERT INTO plain VALUES (?, ?)", memories)
        data = bytearray(weak.serialize())
        at = data.find(b"lighthouse keeper 3")
        data[at] ^= 1
        weak.deserialize(bytes(data))
        found = {row[0] for row in weak.execute("SELECT content FROM plain")}
    assert "the mighthouse keeper 3" in found
