"""A store has our tables and nothing besides; what is planted in it never acts."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from coffret_vault.errors import StoreAlteredError, StoreError
from coffret_vault.store import Store
from coffret_vault.store.schema import VERSION, connect, mapped, verify_schema

if TYPE_CHECKING:
    from pathlib import Path

TABLES = "5cf6a4f8b4872a7d73b652fa0a07500d52c353f51ad90077693d68816daffb8d"
PLANTED = {
    "a trigger": "CREATE TRIGGER planted AFTER INSERT ON meta BEGIN DELETE FROM wraps; END",
    "a view": "CREATE VIEW planted AS SELECT * FROM meta",
    "a table": "CREATE TABLE planted (name)",
    "an index": "CREATE UNIQUE INDEX planted ON records (header)",
    "no index": "DROP INDEX wraps_by_memory",
    "a virtual table": "CREATE VIRTUAL TABLE planted USING fts5(name)",
    "a column": "ALTER TABLE grants ADD COLUMN planted DEFAULT 1",
    "a view in a table's place": (
        "ALTER TABLE grants RENAME TO planted; CREATE VIEW grants AS SELECT * FROM planted"
    ),
    "a check": (
        "DROP TABLE grants; CREATE TABLE grants (grant_id BLOB PRIMARY KEY, "
        "body BLOB NOT NULL CHECK (length(body) > 9)) WITHOUT ROWID"
    ),
}


def _script(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(script)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a new store is, closed."""
    made = tmp_path / "store.db"
    Store(made).close()
    return made


def test_the_words_of_the_tables_are_those_of_their_version(path: Path) -> None:
    """Stores that were made so have to open: other words need another version, and a migration."""
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    words = hashlib.sha256(repr(sorted(found, key=repr)).encode()).hexdigest()
    assert (VERSION, words) == (1, TABLES)


def test_a_store_that_was_vacuumed_opens(path: Path) -> None:
    """What SQLite does to a file of ours by itself is no change of its tables."""
    _script(path, "VACUUM; PRAGMA incremental_vacuum; REINDEX;")
    Store(path).close()


@pytest.mark.parametrize("planted", PLANTED)
def test_other_tables_are_refused(path: Path, planted: str) -> None:
    """A store with more, less or other than we make is not opened."""
    _script(path, PLANTED[planted])
    with pytest.raises(StoreAlteredError) as refused:
        Store(path)
    assert refused.value.hint


def test_what_waits_for_a_first_start_is_refused(tmp_path: Path) -> None:
    """A file that is no store yet, and not empty, does not become one."""
    _script(tmp_path / "store.db", "CREATE VIEW planted AS SELECT 1")
    with pytest.raises(StoreAlteredError):
        Store(tmp_path / "store.db")


def test_a_trigger_made_meanwhile_does_not_run(path: Path) -> None:
    """What another program plants in an open store is refused when a statement would set it off."""
    with closing(connect(path)) as database:
        database.execute("INSERT INTO wraps VALUES (x'01', x'02', 1)")
        insert = "INSERT INTO meta VALUES (?, x'')"
        database.execute(insert, ("before",))
        _script(path, PLANTED["a trigger"])
        with pytest.raises(StoreAlteredError), mapped():
            database.execute(insert, ("after",))
        with pytest.raises(StoreAlteredError):
            verify_schema(database)
        assert database.execute("SELECT count(*) FROM wraps").fetchone() == (1,)
        assert database.execute("SELECT name FROM meta").fetchall() == [("before",)]


def test_a_view_made_meanwhile_is_not_read(path: Path) -> None:
    """What another program puts into a table's place is refused when it would be read."""
    with closing(connect(path)) as database:
        query = "SELECT * FROM grants"
        assert database.execute(query).fetchall() == []
        _script(path, PLANTED["a view in a table's place"])
        with pytest.raises(StoreAlteredError), mapped():
            database.execute(query)


def test_the_file_s_own_functions_are_not_trusted(path: Path) -> None:
    """SQLite is told that the schema is not ours to vouch for."""
    with closing(connect(path)) as database:
        assert database.execute("PRAGMA trusted_schema").fetchone() == (0,)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """Where nothing can be written, the error names that and a way out, not a code of SQLite's."""
    with pytest.raises(StoreError, match="written") as caught, mapped():
        sqlite3.connect(tmp_path / "none" / "store.db")
    assert "a copy of it" in caught.value.hint
