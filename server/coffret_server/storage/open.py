"""Opening a database by its URL, and bringing its tables up to date."""

import contextlib
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from coffret_server.migrations import current_revision, is_known, newest_revision, upgrade
from coffret_server.storage.addresses import Address, DatabaseError, parse
from coffret_server.storage.sqlite import SqliteStorage

if TYPE_CHECKING:
    from coffret_server.storage.base import Storage

_PAGE_SIZE: Final = 8_192
"""A memory of usual size fits a quarter of it, which is when SQLite keeps a row in one place."""
_OTHERS_SECONDS: Final = 600.0
"""How long another process that migrates the same database is waited for."""
_MIGRATING: Final = int.from_bytes(b"coffret", "big")
"""The number of a lock that only who migrates takes."""
_SQLITE: Final = {
    sqlite3.SQLITE_ERROR: "its tables are not Coffret's",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_CANTOPEN: "is its folder there, and may it be written?",
    sqlite3.SQLITE_READONLY: "it may not be written",
    sqlite3.SQLITE_BUSY: "another process holds it",
    sqlite3.SQLITE_LOCKED: "another process holds it",
    sqlite3.SQLITE_FULL: "the disk is full",
}
_POSTGRESQL: Final = {
    "28": "it refuses the user, the password, or a connection without TLS",
    "3D": "the server has no database of that name",
    "42501": "the user may not do that there",
    "42P07": "its tables are not Coffret's",
    "53": "it takes no more connections",
    "57P03": "it is starting or stopping",
}
_SYSTEM: Final[tuple[tuple[type[Exception], str], ...]] = (
    (ConnectionRefusedError, "nothing listens there"),
    (socket.gaierror, "its host is not found"),
    (TimeoutError, "it does not answer"),
    (PermissionError, "it may not be read and written"),
)


class Upgrade(NamedTuple):
    """From which tables to which a database was brought; from None, where it had none."""

    before: str | None
    after: str | None


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Say in one sentence what is wrong; a message of the database's own may hold its address."""
    try:
        yield
    except (OSError, SQLAlchemyError, sqlite3.Error, CommandError) as error:
        message = f"the database cannot be opened: {_why(error)}"
        raise DatabaseError(message) from error
    except Exception as error:
        # asyncpg's own errors, which have a class of their own only where it is installed.
        if not type(error).__module__.startswith("asyncpg"):
            raise
        message = f"the database cannot be opened: {_why(error)}"
        raise DatabaseError(message) from error


def _why(error: BaseException) -> str:
    for found in (error, getattr(error, "orig", None), error.__cause__):
        code = getattr(found, "sqlite_errorcode", None)
        if isinstance(code, int) and (known := _SQLITE.get(code & 0xFF)):
            return known
        state = getattr(found, "sqlstate", None) or ""
        for start, words in _POSTGRESQL.items():
            if state.startswith(start):
                return words
        for kind, words in _SYSTEM:
            if isinstance(found, kind):
                return words
    return type(error).__name__


async def check(url: str) -> Upgrade | None:
    """Open a database and let go of it again; how its tables were changed meanwhile.

    Raises:
        DatabaseError: it cannot be served.
    """
    address = parse(url)
    with _said():
        done = await _bring(address) if address.path is not None else None
        storage = await _open(address)
        try:
            await storage.ping()
        finally:
            await storage.close()
    return done


async def migrate(url: str) -> Upgrade | None:
    """Bring the tables of a database up to date, or leave it as it was; how they were changed.

    Raises:
        DatabaseError: it cannot be.
    """
    address = parse(url)
    with _said():
        return await _bring(address)


async def _bring(address: Address) -> Upgrade | None:
    if address.path is not None:
        # What cannot be opened is found here: of the driver, a thread would go on to tell it to a
        # loop that may have ended by then, and print that beside our sentence.
        sqlite3.connect(address.path).close()
    before, newest = await _revision(address), newest_revision()
    if before != newest:
        await _upgrade(address)
    if address.path is not None:
        _private(address.path)
    return None if before == newest else Upgrade(before, newest)


async def _revision(address: Address) -> str | None:
    """How far a database's tables are, without waiting for whoever writes.

    Raises:
        DatabaseError: further than is known here.
    """
    found = engine_of(address)
    try:
        async with found.connect() as connection:
            revision = await connection.run_sync(current_revision)
    finally:
        await found.dispose()
    if revision is not None and not is_known(revision):
        message = "the database is of a newer coffret-server: install that version, or a later one"
        raise DatabaseError(message)
    return revision


def engine_of(address: Address, **options: Any) -> AsyncEngine:  # noqa: ANN401 - SQLAlchemy's own options
    """SQLAlchemy on a database as it is."""
    if address.path is not None:
        return create_async_engine(f"sqlite+aiosqlite:///{address.path}", **options)
    from coffret_server.storage.postgres import engine  # noqa: PLC0415 - asyncpg is an extra

    return engine(address.dsn, **options)


async def _upgrade(address: Address) -> None:
    if address.path is not None:
        found = engine_of(address, connect_args={"timeout": _OTHERS_SECONDS})
        event.listen(found.sync_engine, "connect", _set_up)
        event.listen(found.sync_engine, "begin", _begin)
    else:
        found = engine_of(address)
        event.listen(found.sync_engine, "begin", _take_turn)
    try:
        async with found.begin() as connection:
            await connection.run_sync(upgrade)
    finally:
        await found.dispose()


def _set_up(connection: Any, _record: object) -> None:  # noqa: ANN401 - SQLAlchemy's adapter has no public type
    """Have pages of our size, unless the file has some already, and transactions of our own.

    The driver begins none before a statement that makes a table, so that an interrupted change
    would stay half done.
    """
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _take_turn(connection: Connection) -> None:
    """Wait for whoever else brings this database up to date: PostgreSQL would let both begin."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")


def _private(path: Path) -> None:
    path.chmod(0o600)


def check_there(url: str) -> None:
    """Refuse a file that is not there: a command about an account must not make an empty one.

    Raises:
        DatabaseError: there is none, or the address is none.
    """
    path = parse(url).path
    if path is not None and not path.exists():
        message = "there is no database in that place"
        raise DatabaseError(message)


async def open_storage(url: str) -> "Storage":
    """Open a database. SQLite is brought up to date; PostgreSQL must be so already.

    Raises:
        DatabaseError: it cannot be served, or its tables are not this version's.
    """
    address = parse(url)
    with _said():
        if address.path is not None:
            await _bring(address)
        return await _open(address)


async def _open(address: Address) -> "Storage":
    """Open a database whose tables are as they should be."""
    if address.path is not None:
        return SqliteStorage(address.path)
    from coffret_server.storage.postgres import PostgresStorage  # noqa: PLC0415 - asyncpg is an extra

    if await _revision(address) != newest_revision():
        message = "the database's tables are of an older version: run coffret-server migrate"
        raise DatabaseError(message)
    return await PostgresStorage.open(address.dsn)
