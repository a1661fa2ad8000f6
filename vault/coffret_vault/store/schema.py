"""The local database: tables, and how its errors become ours."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import msgspec

from coffret_vault.errors import (
    StoreAlteredError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
)
from coffret_vault.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")

VERSION = 1
_FILES = ("", "-wal", "-shm")
_MODE = 0o600
_LOG_PAGES = 4_000
"""16 MB of write-ahead log, so that a first sync does not wait for the disk every few pages."""
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE leaves (at INTEGER PRIMARY KEY, leaf BLOB NOT NULL);
CREATE TABLE memories (
    memory_id BLOB PRIMARY KEY, current INTEGER NOT NULL, pending INTEGER NOT NULL,
    state BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE records (
    memory_id BLOB NOT NULL, version INTEGER NOT NULL, header BLOB NOT NULL,
    envelope BLOB NOT NULL, kek BLOB NOT NULL, wrap BLOB NOT NULL,
    PRIMARY KEY (memory_id, version)
);
CREATE TABLE grants (grant_id BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE wraps (
    grant_id BLOB NOT NULL, memory_id BLOB NOT NULL, key_number INTEGER NOT NULL,
    PRIMARY KEY (grant_id, memory_id)
) WITHOUT ROWID;
CREATE INDEX wraps_by_memory ON wraps (memory_id);
CREATE INDEX memories_pending ON memories (pending) WHERE pending > 0;
"""
"""SQLite keeps these words, and each store's are compared with them: one changed is a version."""
_NOT_OUR_TABLES = "the tables of this device's store were changed, not by Coffret; nothing was done"
_ENTER_ANEW = (
    "Log in on this device again, in another folder that nobody else can write to, and leave this "
    "one behind."
)


def connect(path: Path) -> Database:
    """Open the database, making it where there is none, for its user only.

    ``synchronous=NORMAL`` with a write-ahead log never damages the file; a power cut can cost the
    last commits, which the next sync brings again, since the server holds them durably. What no
    server could bring again is written within :func:`durable`.

    Raises:
        StoreDamagedError: the file is not our database.
        StoreAlteredError: it has other tables than ours, or a trigger or a view.
        StoreError: it cannot be opened, or was made by a newer Coffret.
    """
    _keep_private(path)
    with mapped():
        database = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=10, factory=Database
        )
        try:
            _prepare(database)
        except BaseException:
            database.close()
            raise
    return database


def is_in_use(path: Path) -> bool:
    """Whether any other connection has a database open, in this program or in another one.

    SQLite lets go of a write-ahead log for nobody who is not alone with the file.
    """
    with closing(connect(path)) as database:
        try:
            with mapped():
                database.execute("PRAGMA journal_mode=DELETE")
        except StoreError:
            return True
    return False


def _keep_private(path: Path) -> None:
    """Let nobody but its user read the database, whatever the folder and the umask allow.

    SQLite gives the files beside a database the database's own mode. Where this cannot be done,
    SQLite says what is wrong, or it is another user's file and not ours to close.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _MODE))
    for end in _FILES:
        with suppress(OSError):
            path.with_name(path.name + end).chmod(_MODE)


def _prepare(database: sqlite3.Connection) -> None:
    # First of all: a file can say what is to be done when it is used.
    database.set_authorizer(_authorized)
    database.execute("PRAGMA trusted_schema=OFF")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    database.execute("PRAGMA fullfsync=ON")  # macOS: a sync that only reaches the drive is none
    database.execute("PRAGMA secure_delete=ON")
    database.execute("PRAGMA cache_size=-16384")
    database.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        database.executescript(f"BEGIN;{_TABLES}PRAGMA user_version={VERSION};COMMIT;")
    elif version != VERSION:
        message = "the local store was made by a newer Coffret; update this one"
        raise StoreError(message)
    verify_schema(database)


def _authorized(
    _action: int,
    _first: str | None,
    _second: str | None,
    _database: str | None,
    planted: str | None,
) -> int:
    """Whether a statement may be prepared: nothing may that comes from a trigger or a view.

    Another program can make one while the database is open. SQLite prepares a statement again when
    the tables changed, and asks here; it does not ask when a prepared statement runs.
    """
    return sqlite3.SQLITE_OK if planted is None else sqlite3.SQLITE_DENY


def verify_schema(database: sqlite3.Connection) -> None:
    """See that there are our tables and nothing besides.

    A trigger or a view acts with what the device does later, behind every check of rows; so would
    another default, check, collation or generated column of a table of ours.

    Raises:
        StoreAlteredError: somebody changed them.
    """
    with mapped():
        found = _schema(database)
    if found != _our_schema():
        raise StoreAlteredError(_NOT_OUR_TABLES, hint=_ENTER_ANEW)


def verify_trees(database: sqlite3.Connection, *tables: str) -> None:
    """See that each table reads the same, however it is asked: in order, and by its indexes.

    A row that is out of its place, or that an index lacks, is there for who reads the whole table,
    and is not there for who asks for it.

    Raises:
        StoreDamagedError: one does not.
    """
    for table in tables:
        with mapped():
            found = database.execute(f"PRAGMA integrity_check({table})").fetchone()
        if found != ("ok",):
            raise StoreDamagedError(hint=_ENTER_ANEW)


@cache
def _our_schema() -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_TABLES)
        return _schema(database)


def _schema(database: sqlite3.Connection) -> list[tuple[object, ...]]:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    return database.execute(query).fetchall()


class mapped:  # noqa: N801 - used as the function that it could be
    """Turn what SQLite says into our errors.

    A class, as :class:`transaction`: what ``contextmanager`` makes takes as long as a statement.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Nothing to begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            return
        if isinstance(error, sqlite3.OperationalError):
            raise _operational(error) from None
        if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
            message = "this vault was closed before"  # by our caller: nothing is the matter with it
            raise StoreError(message) from None
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_AUTH:
            raise StoreAlteredError(_NOT_OUR_TABLES, hint=_ENTER_ANEW) from None
        if isinstance(error, (sqlite3.DatabaseError, UnicodeDecodeError)):
            # A damaged schema can hold text that is none; sqlite3 decodes it while it reports that.
            raise StoreDamagedError from None


_WRITABLE = "see that the vault's folder is there and may be written to; a copy of it will do"
_WHEN_DONE = "try again when that is done"
_AGAIN = "and do the same again; an import goes on where it stopped"
_ROOM = f"make room on it, {_AGAIN}"
_DISK = f"it may be over a quota, or failing: see what it is, {_AGAIN}"
_FULL = frozenset(("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"))
"""The second of a disk that is full before the store is opened, if only to be read: the file that
connections share has no room."""


def _operational(error: sqlite3.OperationalError) -> StoreError:
    name = getattr(error, "sqlite_errorname", "")
    if name in _FULL:
        return StoreFullError(hint=_ROOM)
    if name.startswith("SQLITE_IOERR"):
        return StoreError(f"the disk does not take or give what it should ({name})", hint=_DISK)
    if name.startswith("SQLITE_BUSY"):
        return StoreError("another program is using the local store", hint=_WHEN_DONE)
    if name in {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR"}:
        return StoreDamagedError()
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return StoreError("nothing can be written there", hint=_WRITABLE)
    return StoreError(f"SQLite says {name or 'no reason'}")


def blob(value: object) -> bytes:
    """A value that was written as bytes.

    Raises:
        StoreDamagedError: it is of another kind now: SQLite keeps the kind beside each value.
    """
    if not isinstance(value, bytes):
        raise StoreDamagedError
    return value


def kept_value(database: sqlite3.Connection, name: str) -> bytes | None:
    """The value that is kept under a name, if there is one."""
    with mapped():
        found = database.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return blob(found[0]) if found else None


def decoded(decode: Callable[[bytes], T], value: object) -> T:
    """What was encoded, as ``decode`` reads it.

    Raises:
        StoreDamagedError: it is no bytes, or others than were written.
    """
    try:
        return decode(blob(value))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise StoreDamagedError from None


def integer(value: object) -> int:
    """A value that was written as a whole number. Errors as :func:`blob`."""
    if not isinstance(value, int):
        raise StoreDamagedError
    return value


@contextmanager
def durable(database: Database) -> Iterator[None]:
    """What is committed within, and all that was before it, outlasts a power cut.

    One sync of the write-ahead log a commit; the log is one file, so earlier commits go with it.
    """
    with database.turn:
        with mapped():
            database.execute("PRAGMA synchronous=FULL")
        try:
            yield
        finally:
            with mapped():
                database.execute("PRAGMA synchronous=NORMAL")


def data_version(database: Database) -> int:
    """Differs when another program wrote, and for nothing that is written here."""
    with mapped():
        return integer(database.execute("PRAGMA data_version").fetchone()[0])


@contextmanager
def one_moment(database: Database) -> Iterator[None]:
    """What is read within is of one moment, whatever other programs write meanwhile."""
    with database.turn:
        begun = not database.in_transaction
        if begun:
            with mapped():
                database.execute("BEGIN")
        try:
            yield
        finally:
            if begun:
                with mapped():
                    database.execute("ROLLBACK")


class transaction:  # noqa: N801 - used as the function that it could be
    """All of it, or nothing: commits at the end, rolls back on any error. For one thread."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.turn.acquire()
        try:
            with mapped():
                self._database.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._database.turn.release()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                with mapped():
                    self._database.execute("COMMIT")
        finally:
            try:
                if self._database.in_transaction:
                    with mapped():
                        self._database.execute("ROLLBACK")
            finally:
                self._database.turn.release()
        mapped().__exit__(kind, error, trace)
