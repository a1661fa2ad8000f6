"""What a device keeps, and that it keeps it whole."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from coffret_vault.errors import (
    FormatError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreMovedError,
)
from coffret_vault.formats.memory import Record
from coffret_vault.log.verify import Verified, Verifier
from coffret_vault.store import Store, StoredRecord, Wanted
from harness.logs import ACCOUNT, APP, MEMORY, OWNER_KEY, beginning, digest, entry, head, leaf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret_vault.formats.entry import Entry

GRANT = b"g" * 16
OTHER = b"n" * 16


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new store."""
    made = Store(tmp_path / "store.db")
    yield made
    made.close()


class Log:
    """A log that grows, and the store that follows it."""

    def __init__(self, store: Store) -> None:
        """Begin with nothing."""
        self.store = store
        self.leaves: list[bytes] = []

    def verified(self, *entries: Entry, covered: bool = True) -> Verified:
        """New entries, verified against the store, under a new head if they are ``covered``."""
        position = self.store.position(ACCOUNT, OWNER_KEY.public)
        verifier = Verifier(position, self.store.state, lambda _: None)
        new = [leaf(made) for made in entries]
        for data in new:
            verifier.take(data)
        self.leaves += new
        signed = head(self.leaves) if covered else position.head
        assert signed is not None
        return verifier.finish(signed)

    def commit(self, *entries: Entry, covered: bool = True, records: bool = True) -> None:
        """Keep new entries, with a record for each put."""
        rows = [row(made) for made in entries if made.kind == "put"] if records else []
        self.store.commit(self.verified(*entries, covered=covered), rows)


def row(made: Entry) -> StoredRecord:
    """A record for an entry."""
    number = bytes([made.version])
    return StoredRecord(made.subject, made.version, Record(b"h" + number, b"e", b"k", b"w"))


def test_what_is_committed_is_there_after_reopening(tmp_path: Path) -> None:
    """Position, leaves, states, records and meta values survive closing."""
    store = Store(tmp_path / "store.db")
    log = Log(store)
    log.commit(entry("put", 1, 1), entry("put", 2, 2, app=APP))
    log.commit(entry("put", 3, 3, app=APP), covered=False)
    before = store.position(ACCOUNT, OWNER_KEY.public)
    store.set_meta("name", b"value")
    store.close()
    again = Store(tmp_path / "store.db")
    after = again.position(ACCOUNT, OWNER_KEY.public)
    assert (after.head, after.tail, after.size) == (before.head, before.tail, 3)
    assert after.frontier.root() == before.frontier.root()
    assert [data for _, data in again.leaves()] == log.leaves
    assert again.leaf(1) == log.leaves[1]
    assert again.leaf(9) is None
    assert again.meta("name") == b"value"
    assert again.meta("missing") is None
    assert again.record(MEMORY, 1) == row(entry("put", 1)).record
    state = again.state(MEMORY)
    assert state is not None
    assert (state.current, state.newest, len(state.pending)) == (1, 3, 2)
    again.check()
    again.close()


def test_only_what_counts_and_what_waits_is_kept(store: Store) -> None:
    """Records of replaced versions go; those of proposals stay until they are overtaken."""
    log = Log(store)
    log.commit(entry("put", 1, 1), entry("put", 2, 2, app=APP))
    log.commit(entry("put", 3, 3))
    assert [store.record(MEMORY, version) is not None for version in (1, 2, 3)] == [
        False,
        True,
        True,
    ]
    log.commit(entry("delete", 4, 3))
    assert all(store.record(MEMORY, version) is None for version in (1, 2, 3))
    assert (store.count(), store.readable(), store.states()) == (0, {}, [])


def test_a_commit_is_all_or_nothing(store: Store) -> None:
    """When a part of a commit fails, nothing of it is there."""
    log = Log(store)
    log.commit(entry("put", 1, 1))
    before = list(store._database.iterdump())
    verified = log.verified(entry("put", 2, 2))

    def records() -> Iterator[StoredRecord]:
        yield row(entry("put", 2))
        raise StoreFullError

    with pytest.raises(StoreFullError):
        store.commit(verified, records(), wraps=[(GRANT, MEMORY, 1)], meta={"a": b"b"})
    assert list(store._database.iterdump()) == before
    store.commit(verified, [row(entry("put", 2))])


def test_a_full_disk_is_named(store: Store) -> None:
    """SQLite's own "full" becomes ours, and the transaction is undone."""
    log = Log(store)
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    verified = log.verified(entry("put", 1, 1))
    large = StoredRecord(MEMORY, 1, Record(b"h", b"e" * 100_000, b"k", b"w"))
    with pytest.raises(StoreFullError):
        store.commit(verified, [large])
    assert store.position(ACCOUNT, OWNER_KEY.public).head is None
    assert store.count() == 0


def test_a_store_that_moved_on_is_not_written_over(store: Store) -> None:
    """Entries that were verified against an older state are refused."""
    log = Log(store)
    verified = log.verified(entry("put", 1, 1))
    store.commit(verified)
    with pytest.raises(StoreMovedError):
        store.commit(verified)


def test_nothing_is_kept_before_the_first_head(store: Store) -> None:
    """A position without a head is no position to keep."""
    with pytest.raises(FormatError):
        store.commit(Verified(beginning(), (), (), 0, {}))


def test_what_is_wanted_is_what_the_log_names_and_is_not_here(store: Store) -> None:
    """Missing records are told with their digests, and whether they are the ones that count."""
    log = Log(store)
    log.commit(entry("put", 1, 1), entry("put", 1, 5, subject=OTHER), records=False)
    log.commit(entry("put", 2, 2, app=APP), records=False)
    lowest, wanted = store.wanted()
    assert lowest == 0
    assert wanted == {
        (MEMORY, 1): Wanted(digest(1), current=True, author=b""),
        (OTHER, 1): Wanted(digest(5), current=True, author=b""),
        (MEMORY, 2): Wanted(digest(2), current=False, author=APP),
    }
    assert set(store.wanted(pending=False)[1]) == {(MEMORY, 1), (OTHER, 1)}
    store.put_records([row(entry("put", 1))], store.stand())
    assert store.readable() == {MEMORY: 1}
    lowest, wanted = store.wanted()
    assert (lowest, set(wanted)) == (1, {(OTHER, 1), (MEMORY, 2)})


def test_current_records_come_with_their_versions(store: Store) -> None:
    """Every current record is given once, in order of id; proposals are not."""
    log = Log(store)
    log.commit(entry("put", 1, 1, subject=OTHER), entry("put", 1, 1), entry("put", 2, 2, app=APP))
    found = [(item.memory_id, item.version) for item in store.current_records()]
    assert found == [(MEMORY, 1), (OTHER, 1)]
    assert [key for key, _ in store.states(pending=True)] == [MEMORY]


def test_memories_are_read_together_as_one_by_one(store: Store) -> None:
    """Several memories come with where they stand and their current versions; others are absent."""
    log = Log(store)
    log.commit(entry("put", 1, 1, subject=OTHER), entry("put", 1, 1), entry("put", 2, 2, app=APP))
    found = store.standing([MEMORY, OTHER, bytes(16)])
    assert found.keys() == {MEMORY, OTHER}
    for memory_id, (state, record) in found.items():
        assert state == store.state(memory_id)
        assert record == store.record(memory_id, state.current)
    assert store.standing([]) == {}


def test_the_version_tells_of_every_writer(store: Store) -> None:
    """Reading leaves the version as it is; a write here or through another connection does not."""
    before = store.version()
    assert store.version() == before
    Log(store).commit(entry("put", 1, 1))
    written = store.version()
    assert written != before
    other = Store(store.path)
    other.set_meta("x", b"y")
    other.close()
    assert store.version() != written


def test_wraps_follow_what_grants_were_given_and_lost(store: Store) -> None:
    """Wraps come and go with a commit, by themselves, and with the memory."""
    log = Log(store)
    first = log.verified(entry("put", 1, 1), entry("put", 1, 1, subject=OTHER))
    store.commit(first, wraps=[(GRANT, MEMORY, 1), (GRANT, OTHER, 1)])
    assert store.grants.memories(GRANT) == {MEMORY: 1, OTHER: 1}
    store.grants.settle([(GRANT, MEMORY, 2)], [(GRANT, OTHER)])
    assert store.grants.holders(MEMORY) == {GRANT: 2}
    assert store.grants.holders(OTHER) == {}
    store.grants.set_wraps(GRANT, {OTHER: 3})
    assert store.grants.memories(GRANT) == {OTHER: 3}
    store.grants.add_wraps(GRANT, [(MEMORY, 1)])
    log.commit(entry("delete", 2, 1))
    assert store.grants.memories(GRANT) == {OTHER: 3}


def test_changes_are_counted(store: Store) -> None:
    """Whoever keeps something made from the store can tell that it changed."""
    log = Log(store)
    before = store.changes
    log.commit(entry("put", 1, 1), records=False)
    assert store.changes == before + 1
    store.put_records([row(entry("put", 1))], store.stand())
    assert store.changes == before + 2


@pytest.mark.parametrize("value", ["'text'", "7", "X''", "X'c1'"])
@pytest.mark.parametrize("column", ["meta.value", "memories.state"])
def test_values_that_are_not_what_was_written_are_damage(
    store: Store, column: str, value: str
) -> None:
    """A value of another kind, or that does not decode, is damage and no other error."""
    Log(store).commit(entry("put", 1, 1))
    table, name = column.split(".")
    store._database.execute(f"UPDATE {table} SET {name} = {value}")  # noqa: S608 - constants
    with pytest.raises(StoreDamagedError):
        _read_all(store)


def _read_all(store: Store) -> None:
    store.position(ACCOUNT, OWNER_KEY.public)
    store.states()
    store.wanted()


def test_a_file_that_is_something_else_is_damaged(tmp_path: Path) -> None:
    """A file that SQLite does not know is damage; one of a newer version is not."""
    path = tmp_path / "store.db"
    path.write_bytes(b"something else, and long enough to be looked at" * 100)
    with pytest.raises(StoreDamagedError):
        Store(path)
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(StoreError, match="newer") as raised:
        Store(path)
    assert not isinstance(raised.value, StoreDamagedError)


def test_a_store_that_another_program_holds_says_so(store: Store) -> None:
    """A lock by another program is not damage, and goes away."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._database.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(StoreError, match="another program"):
        store.put_records([row(entry("put", 1))], store.stand())
    other.execute("ROLLBACK")
    other.close()
    store.put_records([row(entry("put", 1))], store.stand())


def test_nothing_can_be_made_where_there_is_no_folder(tmp_path: Path) -> None:
    """A path that cannot be opened is an error of ours."""
    with pytest.raises(StoreError):
        Store(tmp_path / "missing" / "store.db")


def test_a_check_finds_a_damaged_page(tmp_path: Path) -> None:
    """A page overwritten behind SQLite's back is found by looking through the file."""
    store = Store(tmp_path / "store.db")
    Log(store).commit(*(entry("put", 1, 1, subject=bytes([n]) * 16) for n in range(200)))
    store.close()
    data = bytearray((tmp_path / "store.db").read_bytes())
    for at in range(4_096 * 3, len(data)):
        data[at] = 0xAA
    (tmp_path / "store.db").write_bytes(data)
    again = Store(tmp_path / "store.db")
    with pytest.raises(StoreDamagedError):
        again.check()
    again.close()
