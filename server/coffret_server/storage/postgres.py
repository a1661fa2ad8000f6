"""PostgreSQL: a pool for the data plane, SQLAlchemy for the control plane, any number of processes.

The row of a vault's log is locked by whoever appends to it, so appends to one vault take turns, and
different vaults commit side by side (PostgreSQL groups their commits itself).

Nothing waits without end for a database that is frozen or cut off. A change whose commit was not
heard of in time may be durable: it is not acknowledged and not refused, and its caller sends it
again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, TypeVar, cast

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from coffret_server.storage.base import DuplicateRowError, Job, Row, Value, numbered
from coffret_server.storage.trouble import Writes, probe

T = TypeVar("T")
CONNECT_SECONDS: Final = 10.0
COMMAND_SECONDS: Final = 60.0
"""More than any statement of ours takes, with the locks that it waits for."""
CLOSE_SECONDS: Final = 5.0


def engine(dsn: str, *, seconds: float | None = None, **options: Any) -> AsyncEngine:  # noqa: ANN401 - SQLAlchemy's own options
    """SQLAlchemy on connections that asyncpg makes, so that both read the same address.

    Args:
        dsn: as `addresses.parse` makes it.
        seconds: how long a statement may take; without, as long as it does.
        options: of SQLAlchemy's engine.
    """

    async def connect() -> Any:  # noqa: ANN401 - asyncpg ships no types
        return await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=seconds)

    return create_async_engine("postgresql+asyncpg://", async_creator=connect, **options)


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection of the pool, which keeps nothing of whoever had it before.

    What was begun is taken back when it is given back. Beside transactions nothing is kept: no
    statement of ours sets anything for a session, listens, or takes a lock or a cursor that
    outlives its transaction. So there is nothing more to ask the database for behind every change.
    """

    def get_reset_query(self) -> str:
        """What is to be run when it is given back: nothing."""
        return ""


class PostgresTx:
    """Statements on one connection."""

    for_update = " FOR UPDATE"
    bytes_type = "BYTEA"

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - asyncpg ships no types
        self._connection = connection

    async def all(self, sql: str, *values: Value) -> Sequence[Row]:
        """Every row of a query."""
        return cast("Sequence[Row]", await self._connection.fetch(numbered(sql), *values))

    async def one(self, sql: str, *values: Value) -> Row | None:
        """The first row of a query, or None."""
        return cast("Row | None", await self._connection.fetchrow(numbered(sql), *values))

    async def run(self, sql: str, *values: Value) -> None:
        """Run a statement."""
        try:
            await self._connection.execute(numbered(sql), *values)
        except asyncpg.UniqueViolationError as error:
            raise DuplicateRowError from error

    async def many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement once a row."""
        try:
            await self._connection.executemany(numbered(sql), rows)
        except asyncpg.UniqueViolationError as error:
            raise DuplicateRowError from error


class PostgresStorage:
    """The engine for many processes."""

    name = "postgresql"

    def __init__(self, dsn: str, pool: Any) -> None:  # noqa: ANN401 - asyncpg ships no types
        self._pool = pool
        self._writes = Writes()
        self._engine = engine(
            dsn,
            seconds=COMMAND_SECONDS,
            pool_size=5,
            max_overflow=10,
            pool_timeout=COMMAND_SECONDS,
        )

    @classmethod
    async def open(cls, dsn: str) -> "PostgresStorage":
        """Connect."""
        pool = await asyncpg.create_pool(
            dsn,
            connection_class=_Connection,
            min_size=1,
            max_size=16,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
        )
        return cls(dsn, pool)

    def _connection(self) -> Any:  # noqa: ANN401 - asyncpg ships no types
        return self._pool.acquire(timeout=COMMAND_SECONDS)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one state of the database."""
        async with AsyncSession(self._engine, expire_on_commit=False) as session:
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session whose changes are durable when the block is left without an error."""
        with self._writes.watched():
            async with (
                AsyncSession(self._engine, expire_on_commit=False) as session,
                session.begin(),
            ):
                yield session

    async def query(self, job: Job[T]) -> T:
        """Run a reading job on one state of the database."""
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await job(PostgresTx(connection))

    async def one(self, sql: str, *values: Value) -> Row | None:
        """The first row of a query by itself, or None."""
        async with self._connection() as connection:
            return cast("Row | None", await connection.fetchrow(numbered(sql), *values))

    async def submit(self, job: Job[T]) -> T:
        """Run a writing job in a transaction of its own."""
        with self._writes.watched():
            async with self._connection() as connection, connection.transaction():
                return await job(PostgresTx(connection))

    async def ping(self) -> None:
        """Raise if the database does not answer, or took no change lately and takes none now."""
        async with self.read() as session:
            await session.execute(text("SELECT 1"))
        if self._writes.failing:
            await self.submit(probe)

    async def close(self) -> None:
        """Let go of every connection."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._engine.dispose()
