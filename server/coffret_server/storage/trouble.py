"""When a database cannot take a change now and may later: a full disk, a lock, a lost connection.

That is no defect of a request, nor of the server: a caller is told to try again, an operator why,
and readiness says so until a change is taken again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from coffret_server.storage.base import Tx

_PRIMARY: Final = 0xFF
"""The part of an extended SQLite error code that names its kind."""
_SQLITE: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    }
)
_POSTGRESQL: Final = ("08", "53", "57P", "58")
"""Classes of SQLSTATE: connections, resources, an operator who intervenes, the system below."""
_PROBE: Final = "probe"
_PROBE_SIZE: Final = 65_536


def reason(error: BaseException) -> str:
    """The name or code of a database's trouble that passes; empty for every other error."""
    for found in (error, getattr(error, "orig", None), error.__cause__):
        code = getattr(found, "sqlite_errorcode", None)
        if isinstance(code, int) and code & _PRIMARY in _SQLITE:
            return str(getattr(found, "sqlite_errorname", code))
        state = getattr(found, "sqlstate", None)
        if isinstance(state, str) and state.startswith(_POSTGRESQL):
            return state
    return ""


class Writes:
    """Whether the database took what it was last given."""

    def __init__(self) -> None:
        self.failing = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around a change, until it is durable."""
        try:
            yield
        except Exception as error:
            self.failing = self.failing or bool(reason(error))
            raise
        self.failing = False


async def probe(tx: Tx) -> None:
    """A change of the size of a large memory that leaves nothing behind."""
    await tx.run("INSERT INTO settings (name, value) VALUES (?, ?)", _PROBE, bytes(_PROBE_SIZE))
    await tx.run("DELETE FROM settings WHERE name = ?", _PROBE)
