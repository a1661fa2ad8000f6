"""Opening a database by its URL, and bringing its tables up to date."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from coffret_server.migrations import current_revision, newest_revision, upgrade
from coffret_server.storage.sqlite import SqliteStorage

if TYPE_CHECKING:
    from coffret_server.storage.base import Storage

_SQLITE: Final = "sqlite"
_POSTGRESQL: Final = "postgresql"
_PAGE_SIZE: Final = 8_192
"""A memory of usual size fits a quarter of it, which is when SQLite keeps a row in one place."""
_OTHERS_SECONDS: Final = 600.0
"""How long another process that migrates the same database is waited for."""


class DatabaseError(Exception):
    """The database cannot be served; the message says what to do."""


def _driver_url(url: str) -> URL:
    """The URL with the driver that we use."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == _SQLITE:
        if parsed.database in {None, "", ":memory:"}:
            msg = "SQLite needs a file: sqlite:///path/to/coffret.db"
            raise DatabaseError(msg)
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend == _POSTGRESQL:
        return parsed.set(drivername="postgresql+asyncpg")
    msg = "the database is neither sqlite:///… nor postgresql://…"
    raise DatabaseError(msg)


async def check(url: str) -> None:
    """Open a database and let go of it again.

    Raises:
        DatabaseError: it cannot be served.
    """
    try:
        storage = await open_storage(url)
        await storage.ping()
        await storage.close()
    except (OSError, SQLAlchemyError) as error:
        msg = f"the database cannot be opened ({type(error).__name__})"
        raise DatabaseError(msg) from error


async def migrate(url: str) -> None:
    """Bring the tables of a database up to date, or leave it as it was."""
    target = _driver_url(url)
    if await _revision(target) != newest_revision():
        await _upgrade(target)
    if target.get_backend_name() == _SQLITE:
        _private(Path(str(target.database)))


async def _revision(target: URL) -> str | None:
    """How far a database's tables are, without waiting for whoever writes."""
    engine = create_async_engine(target)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(current_revision)
    finally:
        await engine.dispose()


async def _upgrade(target: URL) -> None:
    if target.get_backend_name() == _SQLITE:
        engine = create_async_engine(target, connect_args={"timeout": _OTHERS_SECONDS})
        event.listen(engine.sync_engine, "connect", _set_up)
        event.listen(engine.sync_engine, "begin", _begin)
    else:
        engine = create_async_engine(target)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)
    finally:
        await engine.dispose()


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


def _private(path: Path) -> None:
    path.chmod(0o600)


async def open_storage(url: str) -> "Storage":
    """Open a database. SQLite is brought up to date; PostgreSQL must be so already.

    Raises:
        DatabaseError: the tables of a PostgreSQL database are not this version's.
    """
    target = _driver_url(url)
    if target.get_backend_name() == _SQLITE:
        await migrate(url)
        return SqliteStorage(Path(str(target.database)))
    from coffret_server.storage.postgres import PostgresStorage  # noqa: PLC0415 - asyncpg is an extra

    text = target.render_as_string(hide_password=False)
    if await _revision(target) != newest_revision():
        msg = "the database's tables are of another version: run coffret-server migrate"
        raise DatabaseError(msg)
    return await PostgresStorage.open(text)
