"""The seal over what a device knows: it follows every change, and nothing else fits it."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret_vault.errors import (
    KeysChangedError,
    StoreAlteredError,
    StoreDamagedError,
    StoreMovedError,
)
from coffret_vault.keyring import Keyring
from coffret_vault.log.verify import Verifier
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store import Sealing, Store
from coffret_vault.store.grants import _ASKED
from coffret_vault.store.known import _FAR, LOG, Known
from coffret_vault.store.mark import parse_mark
from coffret_vault.store.schema import data_version
from harness.logs import ACCOUNT, OWNER_KEY, entry, head, leaf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret_vault.formats.entry import Entry
    from coffret_vault.log.verify import Verified
    from coffret_vault.store.database import Database

GRANTS, MEMORIES = [bytes([n]) * 16 for n in (1, 2)], [bytes([n]) * 16 for n in (7, 8, 9)]


def _sealing(generation: int = 1) -> Sealing:
    keyring = Keyring(ACCOUNT, generation, SecretBytes(bytes([generation]) * 32))
    return Sealing(keyring, OWNER_KEY.public, os.urandom)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new device's store, with keys, sealed while it is empty but for its account."""
    made = Store(tmp_path / "store.db")
    made.known.hold(_sealing())
    with made.known.set_aside():
        made.take_over((), {"account": b"account"}, anew=True)
    yield made
    made.close()


def _put(memory_id: bytes) -> Entry:
    return entry("put", 1, subject=memory_id)


def _verified(store: Store, *entries: Entry) -> Verified:
    verifier = Verifier(store.position(ACCOUNT, OWNER_KEY.public), store.state, lambda _: None)
    new = [leaf(made) for made in entries]
    for data in new:
        verifier.take(data)
    return verifier.finish(head([data for _, data in store.leaves()] + new))


def _again(store: Store, sealing: Sealing | None = None) -> Store:
    """The same store, opened by another process."""
    other = Store(store.path)
    other.known.hold(sealing or _sealing())
    return other


def _check(store: Store) -> None:
    """The seal fits, for another process and for this one."""
    with closing(_again(store)) as other:
        other.known.check()
    store.known.check()


def _step(store: Store, chance: random.Random) -> None:
    """Some change of what is known."""
    grant, memory = chance.choice(GRANTS), chance.choice(MEMORIES)
    number = chance.randrange(1, 4)
    kind = chance.randrange(5)
    if kind == 0:
        store.grants.add_wraps(grant, [(memory, number), (memory, number)])
    elif kind == 1:
        store.grants.settle([(grant, memory, number)], [(grant, chance.choice(MEMORIES))])
    elif kind == 2:
        store.grants.set_wraps(grant, {memory: number})
    elif kind == 3:
        store.set_meta("settings", bytes([number]))
    else:
        put = _put(os.urandom(16))
        store.commit(
            _verified(store, put),
            wraps=[(grant, memory, number)],
            unwraps=[(grant, chance.choice(MEMORIES))],
            meta={"account": bytes([number]), "unsent": b""},
        )


def test_the_seal_follows_more_keys_than_one_query_asks_for(store: Store) -> None:
    """Keys of many memories that are given, given anew and taken from grants leave it fitting."""
    many = [number.to_bytes(16, "big") for number in range(_ASKED + 2)]
    for key_number in (1, 2):
        wraps = [(grant, memory, key_number) for memory in many for grant in GRANTS]
        store.grants.settle(wraps, ())
        _check(store)
    store.grants.settle((), [(GRANTS[0], memory) for memory in many[1:]])
    _check(store)
    assert store.grants.memories(GRANTS[0]) == {many[0]: 2}
    assert store.grants.memories(GRANTS[1]) == dict.fromkeys(many, 2)


@pytest.mark.parametrize("seed", range(4))
def test_the_seal_follows_every_change(store: Store, seed: int) -> None:
    """After any changes, by two processes in turn, it fits what is there."""
    chance = random.Random(seed)  # noqa: S311 - which changes, not keys
    store.commit(_verified(store, _put(b"f" * 16)))
    with closing(_again(store)) as other:
        for _ in range(25):
            _step(chance.choice((store, other)), chance)
            _check(store)


def test_a_change_that_failed_leaves_the_seal_as_it_was(store: Store) -> None:
    """What was taken back is not in the sum of what comes next."""
    verified = _verified(store, _put(b"f" * 16))
    store.commit(verified)

    def fail() -> None:
        with store.known.change():
            store.grants.put_wraps([(GRANTS[0], MEMORIES[0], 1)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with pytest.raises(StoreMovedError):
        store.commit(verified, wraps=[(GRANTS[0], MEMORIES[1], 1)])
    store.grants.add_wraps(GRANTS[1], [(MEMORIES[1], 1)])
    _check(store)
    assert store.grants.memories(GRANTS[0]) == {}


CHANGES = {
    "added": "INSERT INTO wraps VALUES (x'01', x'02', 1)",
    "taken away": "DELETE FROM wraps",
    "altered": "UPDATE wraps SET key_number = key_number + 1",
    "of another kind": "UPDATE wraps SET key_number = CAST(key_number AS TEXT) || 'a'",
    "moved": "UPDATE wraps SET memory_id = substr(memory_id, 1, 15), "
    "grant_id = grant_id || substr(memory_id, 16)",
    "another account": "UPDATE meta SET value = x'00' WHERE name = 'account'",
    "settings": "INSERT INTO meta VALUES ('settings', x'00')",
    "no seal": "DELETE FROM meta WHERE name = 'known'",
    "half a seal": "UPDATE meta SET value = substr(value, 1, 60) WHERE name = 'known'",
    "an empty seal": "UPDATE meta SET value = x'' WHERE name = 'known'",
    "no position": "DELETE FROM meta WHERE name = 'log'",
    "fewer leaves": "DELETE FROM leaves WHERE at = (SELECT max(at) FROM leaves)",
    "another leaf": "UPDATE leaves SET leaf = (SELECT leaf FROM leaves WHERE at = 0) "
    "WHERE at = (SELECT max(at) FROM leaves)",
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_else_fits(store: Store, change: str) -> None:
    """Each change by somebody else is refused, in another process and in one that goes on."""
    store.commit(_verified(store, _put(b"f" * 16)), wraps=[(GRANTS[0], MEMORIES[0], 1)])
    store.commit(_verified(store, _put(MEMORIES[0])))
    _check(store)
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute(CHANGES[change])
    with closing(_again(store)) as other:
        for known in (other.known, store.known):
            assert known.is_lost()
            with pytest.raises(StoreAlteredError):
                known.check()
        with pytest.raises(StoreAlteredError):
            store.grants.holders(MEMORIES[0])


def _hide_wraps(path: Path) -> None:
    """Empty the index over the keys that grants hold; the table stays as it is."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        rows = database.execute("SELECT * FROM wraps").fetchall()
        query = "SELECT * FROM sqlite_master WHERE name = 'wraps_by_memory'"
        index = database.execute(query).fetchone()
        database.execute("DELETE FROM wraps")
        database.execute("PRAGMA writable_schema=ON")
        database.execute("DELETE FROM sqlite_master WHERE name = 'wraps_by_memory'")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executemany("INSERT INTO wraps VALUES (?, ?, ?)", rows)
        database.execute("PRAGMA writable_schema=ON")
        database.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index)


def _holders(store: Store) -> dict[bytes, int]:
    """Who holds a memory's key, says another process, after the index was emptied."""
    store.commit(_verified(store, _put(MEMORIES[0])), wraps=[(GRANTS[0], MEMORIES[0], 1)])
    store.close()
    _hide_wraps(store.path)
    with closing(_again(store)) as other:
        assert not other.known.is_lost()
        return other.grants.holders(MEMORIES[0])


@pytest.mark.attack(49)
def test_a_holder_is_not_hidden_by_an_index(store: Store) -> None:
    """Rows that are all there, and are not found by who asks for one, are refused."""
    with pytest.raises(StoreDamagedError):
        _holders(store)


@pytest.mark.control(49)
def test_a_store_that_only_sums_its_rows_hides_a_holder(store: Store) -> None:
    """Control: without a look at the index nobody holds the key, it says."""
    with patch("coffret_vault.store.known.verify_trees", lambda *_: None):
        assert _holders(store) == {}


def test_a_seal_of_before_does_not_fit_a_log_that_has_told_since(store: Store) -> None:
    """Rows that are put back with their own seal are refused once the log said otherwise."""
    store.commit(_verified(store, _put(b"f" * 16)))
    store.set_meta("settings", b"before")
    seal = store.meta("known") or b""
    told = entry("settings", 1, subject=ACCOUNT)
    store.commit(_verified(store, told), meta={"settings": b"after"})
    store.commit(_verified(store, _put(MEMORIES[0])))
    _check(store)
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("UPDATE meta SET value = ? WHERE name = 'known'", (seal,))
        database.execute("UPDATE meta SET value = ? WHERE name = 'settings'", (b"before",))
    with pytest.raises(StoreAlteredError):
        store.known.check()


def test_a_seal_of_before_does_not_fit_another_tree_under_the_newest_head(store: Store) -> None:
    """Nor where the entry that told otherwise is taken away, or another is in its place."""
    store.commit(_verified(store, _put(b"f" * 16)))
    store.set_meta("settings", b"before")
    before = {name: store.meta(name) or b"" for name in ("known", "settings", LOG)}
    told = entry("settings", 1, subject=ACCOUNT)
    store.commit(_verified(store, told), meta={"settings": b"after"})
    _check(store)
    older, newest = (parse_mark(kept or b"") for kept in (before[LOG], store.meta(LOG)))
    longer, other = older.frontier.copy(), leaf(_put(MEMORIES[0]))
    longer.append(other)
    _plant(store, before | {LOG: older.pack()})
    _check(store)
    for mark in (older, older._replace(frontier=longer)):
        _plant(store, before | {LOG: mark._replace(head=newest.head).pack()}, other)
        with closing(_again(store)) as again:
            assert store.known.is_lost()
            assert again.known.is_lost()


def _plant(store: Store, values: dict[str, bytes], last: bytes = b"") -> None:
    """Somebody writes these values, and has the log end as its mark says, with this leaf."""
    size = parse_mark(values[LOG]).size
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("DELETE FROM leaves WHERE at >= ?", (size,))
        if size > 1:
            database.execute("INSERT OR REPLACE INTO leaves VALUES (?, ?)", (size - 1, last))
        for name, value in values.items():
            database.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))


def test_what_changes_nothing_known_is_not_sealed_each_time(store: Store) -> None:
    """The seal stays while memories are written, and is made again after many of them."""
    store.commit(_verified(store, _put(b"f" * 16)))
    store.known.check()
    seal = store.meta("known")
    store.commit(_verified(store, _put(MEMORIES[0])))
    assert store.meta("known") == seal
    store.commit(_verified(store, *(_put(os.urandom(16)) for _ in range(_FAR))))
    assert store.meta("known") != seal
    _check(store)


def test_keys_that_changed_seal_from_then_on(store: Store) -> None:
    """A process with the keys of before is told that they changed; its seal counts no more."""
    store.commit(_verified(store, _put(b"f" * 16)))
    before = store.meta("known") or b""
    with closing(_again(store)) as other:
        other.known.check()
        store.commit(_verified(store, _put(MEMORIES[0])), sealing=_sealing(2))
        store.known.check()
        with pytest.raises(KeysChangedError):
            other.known.check()
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("UPDATE meta SET value = ? WHERE name = 'known'", (before,))
    with pytest.raises(StoreAlteredError, match="older Coffret"):
        store.known.check()
    assert not store.known.was_altered()


def test_without_keys_nothing_is_checked(tmp_path: Path) -> None:
    """A locked store shows what is there, and writes no seal."""
    with closing(Store(tmp_path / "store.db")) as store:
        store.grants.add_wraps(GRANTS[0], [(MEMORIES[0], 1)])
        store.known.check()
        store.known.renew()
        assert store.meta("known") is None
        assert not store.known.was_altered()
        assert isinstance(store.known, Known)


def test_a_change_beside_a_check_is_sealed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one thread is about to seal is not forgotten by another that checks meanwhile."""
    changed, checked = threading.Event(), threading.Event()
    swap = store.known.swap

    def paused(*rows: Any) -> None:
        swap(*rows)
        changed.set()
        checked.wait(2)

    def asked(database: Database) -> int:
        monkeypatch.undo()  # once
        version = data_version(database) + 1  # another process wrote
        monkeypatch.setattr(store.known, "swap", paused)
        writer.start()
        changed.wait(0.5)  # it cannot begin before the check is done
        return version

    writer = threading.Thread(target=store.set_meta, args=("settings", b"settled"))
    monkeypatch.setattr("coffret_vault.store.known.data_version", asked)
    store.known.check()
    checked.set()
    writer.join()
    _check(store)
