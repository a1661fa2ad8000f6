"""When a database cannot take a change now and may later: a full disk, a lock, a lost connection.

That is no defect of a request, nor of the server: a caller is told to try again, an operator why,
and readiness says so until a change is taken again.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFreeError

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
_HELD: Final = "55P03"
_POSTGRESQL: Final = ("08", "40", "53", _HELD, "57P", "58")
"""Classes of SQLSTATE: connections, transactions that were taken back (of two that wait for each
other, one), resources, a lock that took too long, an operator who intervenes, the system below."""
_LOST: Final = "connection lost"
_CLOSED: Final = "connection is closed"
"""What asyncpg says of a connection that went while it lay in a pool; it has no code for that."""
_PROBE: Final = "probe"
_PROBE_SIZE: Final = 65_536


def reason(error: BaseException) -> str:
    """The name or code of a trouble below us that passes; empty for every other error."""
    for found in (error, getattr(error, "orig", None), error.__cause__):
        if why := _coded(found) or _uncoded(found):
            return why
    return ""


def _coded(error: BaseException | None) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int) and code & _PRIMARY in _SQLITE:
        return str(getattr(error, "sqlite_errorname", code))
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) and state.startswith(_POSTGRESQL) else ""


def _uncoded(error: BaseException | None) -> str:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return _LOST
    if type(error).__name__ == "InterfaceError" and _CLOSED in str(error):
        return _LOST
    return type(error).__name__ if isinstance(error, (OSError, NoneFreeError)) else ""


class Readiness:
    """Asks a database whether it is ready, and waits for no answer for long.

    What does not answer is asked once, however many want to know.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._asked: asyncio.Task[None] | None = None

    async def check(self, ping: Callable[[], Awaitable[None]]) -> None:
        """Raise what `ping` raises.

        Raises:
            TimeoutError: it takes too long.
        """
        asked = self._asked
        if asked is None or asked.done():
            asked = self._asked = asyncio.ensure_future(_run(ping))
            asked.add_done_callback(_heard)
        await asyncio.wait((asked,), timeout=self._seconds)
        if not asked.done():
            raise TimeoutError
        asked.result()

    async def close(self) -> None:
        """Ask no more."""
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.wait((self._asked,), timeout=self._seconds)


async def _run(ping: Callable[[], Awaitable[None]]) -> None:
    await ping()


def _heard(asked: "asyncio.Task[None]") -> None:
    """Whoever asked may be gone; then nobody else looks at what came of it."""
    if not asked.cancelled():
        asked.exception()


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
            # That somebody holds a row says nothing of whether changes are taken.
            self.failing = self.failing or reason(error) not in {"", _HELD}
            raise
        self.failing = False


async def probe(tx: Tx) -> None:
    """A change of the size of a large memory that leaves nothing behind."""
    await tx.run("INSERT INTO settings (name, value) VALUES (?, ?)", _PROBE, bytes(_PROBE_SIZE))
    await tx.run("DELETE FROM settings WHERE name = ?", _PROBE)
