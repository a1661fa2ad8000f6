"""What the rest of the server knows of a database.

The control plane works with SQLAlchemy sessions (`read`, `write`). The data plane hands in a *job*,
a coroutine function that takes a `Tx` and awaits nothing but it, and the engine decides how jobs
are put into transactions (`query`, `submit`). The same SQL runs on both engines; parameters are
`?`.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from itertools import count
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

T = TypeVar("T")
Value: TypeAlias = bytes | str | int | None
Row: TypeAlias = Sequence[Any]
SQLITE_VARIABLES: Final = 500
"""How many values one `IN (…)` takes."""


class DuplicateRowError(Exception):
    """A row with that key is there already."""


class Tx(Protocol):
    """Statements inside one transaction.

    Attributes:
        for_update: what locks the rows of a query, where that is needed.
        bytes_type: the name of the type of bytes.
    """

    for_update: str
    bytes_type: str

    async def all(self, sql: str, *values: Value) -> Sequence[Row]:
        """Every row of a query."""
        ...

    async def one(self, sql: str, *values: Value) -> Row | None:
        """The first row of a query, or None."""
        ...

    async def run(self, sql: str, *values: Value) -> None:
        """Run a statement; a key that exists raises `DuplicateRowError`."""
        ...

    async def many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement once a row."""
        ...


Job: TypeAlias = Callable[[Tx], Awaitable[T]]


class Storage(Protocol):
    """A database."""

    name: str

    def read(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session that sees one state of the database."""
        ...

    def write(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session whose changes are durable when the block is left without an error."""
        ...

    async def query(self, job: Job[T]) -> T:
        """Run a reading job on one state of the database."""
        ...

    async def one(self, sql: str, *values: Value) -> Row | None:
        """The first row of a query by itself, or None."""
        ...

    async def submit(self, job: Job[T]) -> T:
        """Run a writing job; when this returns its changes are durable."""
        ...

    async def ping(self) -> None:
        """Raise if the database does not answer, or took no change lately and takes none now."""
        ...

    async def close(self) -> None:
        """Finish what was accepted and let go of the database."""
        ...


@cache
def numbered(sql: str) -> str:
    """The statement with `$1 … $n` in place of `?`, as PostgreSQL takes it."""
    numbers = count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", sql)


def marks(values: Sequence[object]) -> str:
    """The `?, ?, …` of an `IN` list."""
    return ", ".join("?" * len(values))


class SessionTx:
    """The statements of the data plane inside a control-plane session."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._is_sqlite = connection.dialect.name == "sqlite"
        self.for_update = "" if self._is_sqlite else " FOR UPDATE"
        self.bytes_type = "BLOB" if self._is_sqlite else "BYTEA"

    def _sql(self, sql: str) -> str:
        return sql if self._is_sqlite else numbered(sql)

    async def all(self, sql: str, *values: Value) -> Sequence[Row]:
        """Every row of a query."""
        result = await self._connection.exec_driver_sql(self._sql(sql), tuple(values))
        return result.all()

    async def one(self, sql: str, *values: Value) -> Row | None:
        """The first row of a query, or None."""
        result = await self._connection.exec_driver_sql(self._sql(sql), tuple(values))
        return result.first()

    async def run(self, sql: str, *values: Value) -> None:
        """Run a statement."""
        try:
            await self._connection.exec_driver_sql(self._sql(sql), tuple(values))
        except IntegrityError as error:
            raise DuplicateRowError from error

    async def many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement once a row."""
        try:
            await self._connection.exec_driver_sql(self._sql(sql), [tuple(row) for row in rows])
        except IntegrityError as error:
            raise DuplicateRowError from error


async def session_tx(session: AsyncSession) -> Tx:
    """The transaction of a session, after what the session holds was written."""
    await session.flush()
    return SessionTx(await session.connection())
