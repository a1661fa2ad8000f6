"""The seal over where memories stand: it follows every change, and nothing else fits it."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret_vault.errors import (
    KeysChangedError,
    StoreAlteredError,
    StoreDamagedError,
    StoreFullError,
)
from coffret_vault.formats.memory import Record
from coffret_vault.keyring import Keyring
from coffret_vault.log.verify import Verifier
from coffret_vault.primitives.mac import Mac, mac
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store import Sealing, Store, StoredRecord
from coffret_vault.store.known import LOG
from coffret_vault.store.states import NAME
from harness.logs import ACCOUNT, APP, OWNER_KEY, digest, entry, head, leaf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret_vault.formats.entry import Entry
    from coffret_vault.log.verify import Verified

MEMORIES = [bytes([n]) * 16 for n in range(7, 12)]
STANDS = ("SELECT * FROM memories", "SELECT * FROM meta WHERE name IN ('states', 'log')")


def _sealing(generation: int = 1) -> Sealing:
    keyring = Keyring(ACCOUNT, generation, SecretBytes(bytes([generation]) * 32))
    return Sealing(keyring, OWNER_KEY.public, os.urandom)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new device's store, with keys, sealed while it is empty."""
    made = Store(tmp_path / "store.db")
    made.hold(_sealing())
    with made.known.set_aside():
        made.take_over((), {"account": b"account"}, anew=True)
    yield made
    made.close()


def _verified(store: Store, *entries: Entry, covered: bool = True) -> Verified:
    position = store.position(ACCOUNT, OWNER_KEY.public)
    verifier = Verifier(position, store.state, lambda _: None)
    new = [leaf(made) for made in entries]
    for data in new:
        verifier.take(data)
    signed = head([data for _, data in store.leaves()] + new) if covered else position.head
    assert signed is not None
    return verifier.finish(signed)


def _put(memory_id: bytes, version: int = 1) -> Entry:
    return entry("put", version, version, subject=memory_id)


def _again(store: Store, sealing: Sealing | None = None) -> Store:
    """The same store, opened by another process."""
    other = Store(store.path)
    other.hold(sealing or _sealing())
    return other


def _check(store: Store) -> None:
    """The seal fits, for another process and for this one."""
    with closing(_again(store)) as other:
        other.state_seal.check()
    store.state_seal.check()


def _tamper(store: Store, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute(statement, values)


def _step(store: Store, chance: random.Random) -> None:
    """Some entry about some memory, by its owner or by an app."""
    subject = chance.choice(MEMORIES)
    state = store.state(subject)
    newest = 0 if state is None else state.newest
    app = chance.choice((None, APP))
    made = entry("put", newest + 1, newest + 1, subject=subject, app=app)
    if state is not None and state.deleted:
        made = _put(os.urandom(16))
    elif state is not None and state.pending and chance.random() < 0.5:
        item = state.pending[-1]
        kind = "reject" if item.version < state.current else chance.choice(("accept", "reject"))
        number = int.from_bytes(item.digest, "big")
        made = entry(kind, item.version, number, subject=subject)
    elif state is not None and chance.random() < 0.2:
        number = int.from_bytes(state.newest_digest, "big")
        made = entry("delete", newest + 1, number, subject=subject, app=app)
    store.commit(_verified(store, made, _put(os.urandom(16))))


@pytest.mark.parametrize("seed", range(4))
def test_the_seal_follows_every_change(store: Store, seed: int) -> None:
    """After any entries, by two processes in turn, it fits what is there."""
    chance = random.Random(seed)  # noqa: S311 - which changes, not keys
    with closing(_again(store)) as other:
        for _ in range(40):
            _step(chance.choice((store, other)), chance)
            _check(store)


def test_the_seal_follows_the_log(store: Store) -> None:
    """A head that covers what apps wrote moves it, though no memory moves."""
    store.commit(_verified(store, _put(MEMORIES[0])))
    store.commit(_verified(store, entry("put", 1, 1, subject=MEMORIES[1], app=APP), covered=False))
    before = store.meta(NAME)
    _check(store)
    store.commit(_verified(store))
    assert store.meta(NAME) != before
    _check(store)


def test_a_commit_that_failed_leaves_the_seal_as_it_was(store: Store) -> None:
    """What was taken back is not in the sum of what comes next."""
    store.commit(_verified(store, _put(MEMORIES[0])))
    verified = _verified(store, _put(MEMORIES[0], 2))

    def records() -> Iterator[StoredRecord]:
        yield StoredRecord(MEMORIES[0], 2, Record(b"h", b"e", b"k", b"w"))
        raise StoreFullError

    with pytest.raises(StoreFullError):
        store.commit(verified, records())
    with pytest.raises(StoreFullError):
        store.commit(verified, records(), sealing=_sealing())
    _check(store)
    store.commit(verified)
    _check(store)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE memories SET current = current + 1",
        "UPDATE memories SET pending = 1",
        "UPDATE memories SET state = x'90'",
        "UPDATE memories SET pending = 'none'",
        "UPDATE memories SET memory_id = zeroblob(16)",
        "DELETE FROM memories",
        "INSERT INTO memories SELECT zeroblob(16), current, pending, state FROM memories",
        "UPDATE meta SET value = CAST(value || x'00' AS BLOB) WHERE name = 'states'",
        "UPDATE meta SET value = x'0000000000000001' WHERE name = 'states'",
        "DELETE FROM meta WHERE name = 'log'",
    ],
)
def test_nothing_else_fits_the_seal(store: Store, statement: str) -> None:
    """Another row, column, kind of value, position of the log, or seal is refused at once."""
    store.commit(_verified(store, _put(MEMORIES[0])))
    with closing(_again(store)) as other:
        other.state_seal.check()
        _tamper(store, statement)
        with closing(_again(store)) as third:
            for one in (store, other, third):
                with pytest.raises((StoreAlteredError, StoreDamagedError)):
                    one.state(MEMORIES[0])
                assert one.state_seal.was_altered()
                assert one.altered().endswith("memories")


def test_rows_of_before_fit_no_log_of_now(store: Store) -> None:
    """With their own seal they fit the position of before: that turns back the whole device."""
    store.commit(_verified(store, _put(MEMORIES[0])))
    with closing(sqlite3.connect(store.path)) as database:
        rows, values = (database.execute(query).fetchall() for query in STANDS)
    store.commit(_verified(store, _put(MEMORIES[0], 2)))
    for row in rows:
        _tamper(store, "INSERT OR REPLACE INTO memories VALUES (?, ?, ?, ?)", *row)
    with pytest.raises(StoreAlteredError):
        store.state_seal.check()
    kept = dict(values)
    for name in (NAME, LOG):
        with pytest.raises(StoreAlteredError):
            store.state_seal.check()
        _tamper(store, "UPDATE meta SET value = ? WHERE name = ?", kept[name], name)
    store.state_seal.check()


def test_a_row_that_is_there_twice_is_not_as_if_it_were_not() -> None:
    """Sums are added up: what comes twice does not cancel, as it would in an exclusive or."""
    from coffret_vault.store.states import _tag, _total  # noqa: PLC0415 - the sum itself

    keyed, row = Mac(b"k" * 32), (MEMORIES[0], 1, 0, b"state")
    tags = {_tag(keyed, b"log", _total(keyed, [row] * times)) for times in range(5)}
    assert len(tags) == 5


def test_one_mac_is_as_the_other() -> None:
    """Many messages under one key get what each gets by itself."""
    keyed = Mac(b"k" * 32)
    for size in (0, 1, 63, 64, 65, 1_000):
        assert keyed(bytes(size)) == mac(b"k" * 32, bytes(size))


def _hide_rows(path: Path) -> None:
    """Put the rows in the opposite order: who reads all finds them, who asks for one does not."""
    find = "SELECT sql FROM sqlite_master WHERE name = 'memories'"
    put = "UPDATE sqlite_master SET sql = ? WHERE name = 'memories'"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        rows = database.execute("SELECT * FROM memories").fetchall()
        (kept,) = database.execute(find).fetchone()
        other = kept.replace("PRIMARY KEY", "PRIMARY KEY DESC")
        database.execute("DELETE FROM memories")
        database.execute("PRAGMA writable_schema=ON")
        database.execute(put, (other,))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executemany("INSERT INTO memories VALUES (?, ?, ?, ?)", rows)
        database.execute("PRAGMA writable_schema=ON")
        database.execute(put, (kept,))


def _found(store: Store) -> int:
    """How many of five memories another process finds, after the rows were put elsewhere."""
    store.commit(_verified(store, *map(_put, MEMORIES)))
    store.close()
    _hide_rows(store.path)
    with closing(_again(store)) as other:
        assert not other.state_seal.is_lost()
        return sum(other.state(memory_id) is not None for memory_id in MEMORIES)


@pytest.mark.attack(49)
def test_a_memory_is_not_hidden_out_of_its_place(store: Store) -> None:
    """Rows that are all there, and are not found by who asks for one, are refused."""
    with pytest.raises(StoreDamagedError):
        _found(store)


@pytest.mark.control(49)
def test_a_store_that_only_sums_its_rows_hides_a_memory(store: Store) -> None:
    """Control: without a look at the order some are not there, it says."""
    with patch("coffret_vault.store.states.verify_trees", lambda *_: None):
        assert _found(store) < len(MEMORIES)


def test_keys_that_changed_seal_from_then_on(store: Store) -> None:
    """A process with the keys of before is told that they changed; its seal counts no more."""
    store.commit(_verified(store, _put(MEMORIES[0])))
    before = store.meta(NAME) or b""
    with closing(_again(store)) as other:
        other.state_seal.check()
        store.commit(_verified(store, _put(MEMORIES[1])), sealing=_sealing(2))
        store.state_seal.check()
        with closing(_again(store, _sealing(2))) as third:
            third.state_seal.check()
        with pytest.raises(KeysChangedError):
            other.state_seal.check()
    _tamper(store, "UPDATE meta SET value = ? WHERE name = ?", before, NAME)
    with pytest.raises(StoreAlteredError, match="older Coffret"):
        store.state_seal.check()
    assert store.is_lost()
    assert not store.altered()


def test_leaves_are_those_that_were_verified(store: Store) -> None:
    """A leaf is looked up among leaves that make up the log, whoever wrote them."""
    store.commit(_verified(store, _put(MEMORIES[0])))
    first = leaf(_put(MEMORIES[0]))
    with closing(_again(store)) as other:
        assert store.leaf(0) == other.leaf(0) == first
        other.commit(_verified(other, _put(MEMORIES[1])))
        assert store.leaf(1) == other.leaf(1) == leaf(_put(MEMORIES[1]))
        _tamper(store, "UPDATE leaves SET leaf = (SELECT leaf FROM leaves WHERE at = 1)")
        for one in (store, other):
            with pytest.raises(StoreAlteredError, match="the log on this device"):
                one.leaf(0)


def test_without_keys_nothing_is_checked(tmp_path: Path) -> None:
    """A locked store shows what is there, and writes no seal."""
    with closing(Store(tmp_path / "store.db")) as store:
        store.commit(_verified(store, _put(MEMORIES[0])))
        _tamper(store, "UPDATE memories SET pending = 1")
        assert len(store.states(pending=True)) == 1
        assert store.meta(NAME) is None
        assert not store.state_seal.was_altered()
        state = store.state(MEMORIES[0])
    assert state is not None
    assert state.digest == digest(1)
