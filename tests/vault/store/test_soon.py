"""Records that are written while their owner goes on."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from coffret_vault.errors import StoreError, StoreFullError
from coffret_vault.formats.memory import Record
from coffret_vault.store import Store, StoredRecord


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new store."""
    store = Store(tmp_path / "store.db")
    yield store
    store.close()


def rows(count: int, size: int = 10) -> list[StoredRecord]:
    """Records of memories 0, 1, …, each with an envelope of its own."""
    return [
        StoredRecord(at.to_bytes(16, "big"), 1, Record(b"h", bytes([at % 256]) * size, b"k", b"w"))
        for at in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 2_000, 2_001, 4_321])
def test_they_are_there_for_whatever_comes_next(store: Store, count: int) -> None:
    """What is asked next finds all of them, as if they had been written at once."""
    made = rows(count)
    store.put_records_soon(made, store.stand())
    found = [store.record(row.memory_id, 1) for row in made]
    assert found == [row.record for row in made]


def test_they_are_written_in_order(store: Store) -> None:
    """Of two writings of one version the later stays."""
    later = rows(700, 20)
    store.put_records_soon(rows(700), store.stand())
    store.put_records_soon(later, store.stand())
    assert store.record(later[-1].memory_id, 1) == later[-1].record


def test_they_survive_closing(tmp_path: Path) -> None:
    """Closing waits for them."""
    store = Store(tmp_path / "store.db")
    store.put_records_soon(rows(600), store.stand())
    store.close()
    again = Store(tmp_path / "store.db")
    assert again.record(rows(600)[-1].memory_id, 1) is not None
    again.close()


def test_what_befell_them_is_said_next_and_once(store: Store) -> None:
    """The next thing that is asked raises the error; then the store works, without any of them."""
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    made = rows(501, 1_000)
    store.put_records_soon(made, store.stand())
    with pytest.raises(StoreFullError):
        store.record(made[0].memory_id, 1)
    assert [store.record(row.memory_id, 1) for row in made] == [None] * 501
    store._database.execute("PRAGMA max_page_count = 1000000")
    store.put_records_soon(made, store.stand())
    assert store.record(made[-1].memory_id, 1) == made[-1].record


def test_another_program_that_holds_the_store_is_named(store: Store) -> None:
    """A lock by another program is an error of the next call, and goes away."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._database.execute("PRAGMA busy_timeout = 1")
    store.put_records_soon(rows(1), store.stand())
    with pytest.raises(StoreError, match="another program"):
        store.put_records_soon(rows(1), store.stand())
    other.execute("ROLLBACK")
    other.close()
    store.put_records_soon(rows(1), store.stand())
    assert store.record(rows(1)[0].memory_id, 1) is not None


def test_closing_after_a_failure_is_silent(tmp_path: Path) -> None:
    """What could not be written is fetched again by the next sync; closing does not complain."""
    store = Store(tmp_path / "store.db")
    store._database.execute("PRAGMA max_page_count = 1")
    store.put_records_soon(rows(501, 1_000), store.stand())
    store.close()


def test_none_are_written_where_the_log_moved_on(store: Store) -> None:
    """They were compared with a log that is not the one here any more."""
    store.put_records_soon(rows(3), b"as it stood")
    store.put_records(rows(3), b"as it stood")
    assert [store.record(row.memory_id, 1) for row in rows(3)] == [None] * 3


def test_where_no_thread_is_to_be_had_they_are_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that ends, or has as many threads as it may, loses none of them."""

    def refuse(_thread: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        store = Store(tmp_path / "store.db")
        store.put_records_soon(rows(3), store.stand())
        assert store.record(rows(3)[2].memory_id, 1) is not None
    store.put_records_soon(rows(4), store.stand())
    assert store.record(rows(4)[3].memory_id, 1) is not None
    store.close()
