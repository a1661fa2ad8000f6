"""A connection that can write rows in a thread while its owner goes on.

Its owner may be several threads: each statement has the connection to itself, and so has each
transaction as long as it lasts (``turn``). No thread sees what another one has not committed.

SQLite lets go of the interpreter while it runs a statement, and takes it back for every row of an
``executemany``; so rows that are to be written meanwhile go into few statements of many rows each.
Whatever is asked of the connection next waits for them first, and gets their error if they have
one: to its owner everything happens in order, as if there were no thread.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    Row = tuple[bytes | int, ...]

_ROWS = 2_000
"""Rows of one statement: a page of a sync. Six values each are a third of what SQLite takes."""


_READ_TOGETHER = 50
"""Rows of one turn; a record may have two MiB."""


def this_thread() -> int:
    """A number that no other thread has while this one lasts."""
    return get_ident()


class _Cursor(sqlite3.Cursor):
    """Rows that are read in their connection's turn, as statements are.

    SQLite asks a function of ours about every statement that it prepares, and holds the connection
    until it has the answer. To read a row, Python waits for the connection without letting go of
    the interpreter, which the answer needs: outside of its turn, both would wait for ever.
    """

    connection: Database

    def fetchone(self) -> Any:  # noqa: ANN401 - as SQLite's own
        with self.connection.turn:
            return super().fetchone()

    def fetchmany(self, size: int | None = _READ_TOGETHER) -> list[Any]:
        with self.connection.turn:
            return super().fetchmany(size)

    def fetchall(self) -> list[Any]:
        with self.connection.turn:
            return super().fetchall()

    def __iter__(self) -> Any:  # noqa: ANN401 - as SQLite's own, which is its own iterator
        while rows := self.fetchmany():
            yield from rows


def _together(insert: str, rows: Sequence[Row]) -> Iterator[tuple[str, list[bytes | int]]]:
    """Statements of many rows each, and their values."""
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        marks = f"({', '.join('?' * len(part[0]))})"
        yield f"{insert} {', '.join([marks] * len(part))}", [*chain.from_iterable(part)]


class Database(sqlite3.Connection):
    """One SQLite connection, for one thread besides its own."""

    _pool: ThreadPoolExecutor | None = None
    _pending: Future[None] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as SQLite's own
        """As SQLite's own."""
        super().__init__(*arguments, **named)
        self.turn = RLock()
        """Held by the thread that uses the connection, for a statement or longer."""

    def insert_soon(self, insert: str, rows: Sequence[Row], only: tuple[str, bytes]) -> None:
        """Write rows in a transaction of their own, all or none, while the caller goes on.

        Args:
            insert: the statement up to and with ``VALUES``.
            rows: as many values each as the table has columns.
            only: a query and its value; where it finds nothing by then, none are written.
        """
        with self.turn:
            self.settle()
            try:
                self._pool = self._pool or ThreadPoolExecutor(1, "coffret-store")
                self._pending = self._pool.submit(self._insert, insert, rows, only)
            except RuntimeError:  # the program ends, or has as many threads as it may
                self._forget_pool()  # which keeps what it cannot begin
                self._insert(insert, rows, only)

    def settle(self) -> None:
        """Wait until what was given to :meth:`insert_soon` is written.

        Raises:
            sqlite3.Error: nothing of it could be.
        """
        with self.turn:
            pending, self._pending = self._pending, None
            if pending is not None:
                pending.result()

    def _insert(self, insert: str, rows: Sequence[Row], only: tuple[str, bytes]) -> None:
        execute, (query, value) = super().execute, only
        execute("BEGIN IMMEDIATE")
        try:
            holds = execute(query, (value,)).fetchone()
            for statement, values in _together(insert, rows) if holds else ():
                execute(statement, values)
            execute("COMMIT")
        except BaseException:
            if self.in_transaction:
                execute("ROLLBACK")
            raise

    def insert(self, insert: str, rows: Sequence[Row]) -> None:
        """Write rows in the caller's transaction; arguments as for :meth:`insert_soon`."""
        with self.turn:
            self.settle()
            for statement, values in _together(insert, rows):
                super().execute(statement, values)

    def execute(self, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401 - as SQLite's own
        """As SQLite's own, in its turn."""
        with self.turn:
            if self._pending is not None:
                self.settle()
            return _Cursor(self).execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401 - as SQLite's own
        """As SQLite's own, in its turn."""
        with self.turn:
            if self._pending is not None:
                self.settle()
            return super().executemany(*arguments)

    def cursor(self, *_: Any) -> Any:  # noqa: ANN401 - as SQLite's own
        """As SQLite's own, in its turn, and so are its rows read."""
        with self.turn:
            if self._pending is not None:
                self.settle()
            return _Cursor(self)

    def close(self) -> None:
        """Close it, after what is being written; what could not be, is not news any more."""
        with suppress(sqlite3.Error):
            self.settle()
        self._forget_pool()
        super().close()

    def _forget_pool(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
