"""A hostile server that writes into its own database: rows altered, exchanged, put in, put back."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.flipping import flipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Row = dict[str, Any]


class Database:
    """The database of a running server on SQLite, opened beside it."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._connection.row_factory = sqlite3.Row
        # What an attack writes need not survive a loss of power.
        self._connection.execute("PRAGMA synchronous = OFF")
        found = self._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        names = sorted(name for (name,) in found)
        self.tables = tuple(name for name in names if not name.startswith(("sqlite_", "alembic")))

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def rows(self, table: str) -> list[Row]:
        """Every row of a table."""
        return [dict(row) for row in self._connection.execute(f"SELECT * FROM {table}")]  # noqa: S608 - our own name

    def write(self, tables: dict[str, Sequence[Row]]) -> None:
        """Have these tables hold these rows and no others, all at once.

        Raises:
            sqlite3.IntegrityError: they cannot; everything is as before.
        """
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for table, rows in tables.items():
                execute(f"DELETE FROM {table}")  # noqa: S608 - our own name
                self._insert(table, rows)
        except sqlite3.IntegrityError:
            execute("ROLLBACK")
            raise
        execute("COMMIT")

    def _insert(self, table: str, rows: Sequence[Row]) -> None:
        for row in rows:
            marks = ", ".join("?" * len(row))
            names = ", ".join(f'"{name}"' for name in row)
            values = tuple(row.values())
            self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)  # noqa: S608 - our own names

    def copy(self) -> dict[str, Sequence[Row]]:
        """Everything there is, to be put back with :meth:`write`."""
        return {table: self.rows(table) for table in self.tables}

    def turn_back(self, earlier: dict[str, Sequence[Row]]) -> None:
        """What was before, but for the sessions: who is logged in is to notice nothing."""
        self.write({table: rows for table, rows in earlier.items() if table != "sessions"})

    @contextmanager
    def holding(self, tables: dict[str, Sequence[Row]]) -> Iterator[None]:
        """Have these tables hold these rows meanwhile."""
        before: dict[str, Sequence[Row]] = {table: self.rows(table) for table in tables}
        self.write(tables)
        try:
            yield
        finally:
            self.write(before)


def alterations(value: Any) -> list[Any]:
    """Other values for a column, near this one and far from it."""
    if value is None:
        return [0, 1, b"", b"\0" * 16]
    if isinstance(value, int):
        return [value + 1, value - 1, 0, (1 << 63) - 1, None]
    if isinstance(value, str):
        other = value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
        return [other, value[:-1], value + value, None]
    places = sorted({0, len(value) // 2, len(value) - 1}) if value else []
    one_bit = [flipped(value, at) for at in places]
    return [*one_bit, value[:-1], value + b"\0", bytes(len(value)), None]
