"""PostgreSQL: a pool for the data plane, SQLAlchemy for the control plane, any number of processes.

The row of a vault's log is locked by whoever appends to it, so appends to one vault take turns, and
different vaults commit side by side (PostgreSQL groups their commits itself).
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar, cast

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from coffret_server.storage.base import DuplicateRowError, Job, Row, Value, numbered
from coffret_server.storage.trouble import Writes, probe

T = TypeVar("T")


class PostgresTx:
    """Statements on one connection."""

    for_update = " FOR UPDATE"

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

    def __init__(self, url: str, pool: Any) -> None:  # noqa: ANN401 - asyncpg ships no types
        self._pool = pool
        self._writes = Writes()
        self._engine = create_async_engine(url, pool_size=5, max_overflow=10)

    @classmethod
    async def open(cls, url: str) -> "PostgresStorage":
        """Connect; `url` is an SQLAlchemy URL for asyncpg."""
        plain = make_url(url).set(drivername="postgresql")
        pool = await asyncpg.create_pool(
            plain.render_as_string(hide_password=False), min_size=1, max_size=16
        )
        return cls(url, pool)

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
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await job(PostgresTx(connection))

    async def one(self, sql: str, *values: Value) -> Row | None:
        """The first row of a query by itself, or None."""
        return cast("Row | None", await self._pool.fetchrow(numbered(sql), *values))

    async def submit(self, job: Job[T]) -> T:
        """Run a writing job in a transaction of its own."""
        with self._writes.watched():
            async with self._pool.acquire() as connection, connection.transaction():
                return await job(PostgresTx(connection))

    async def ping(self) -> None:
        """Raise if the database does not answer, or took no change lately and takes none now."""
        async with self.read() as session:
            await session.execute(text("SELECT 1"))
        if self._writes.failing:
            await self.submit(probe)

    async def close(self) -> None:
        """Let go of every connection."""
        await self._pool.close()
        await self._engine.dispose()
