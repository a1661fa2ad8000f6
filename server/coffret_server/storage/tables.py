"""Whether the tables are still those of this version, while it serves.

Somebody may bring a database up to date, or put an older copy in its place, under a process that
goes on. It would fail in odd ways then, or write what the others do not understand. It is asked
every few seconds, by readiness, and after an error that nobody foresaw; never for a request.
"""

import asyncio
import contextlib
import logging
import sqlite3
from typing import Final

import msgspec

from coffret_server.migrations import newest_revision
from coffret_server.problems import ProblemError
from coffret_server.storage.base import Storage
from coffret_server.storage.trouble import reason

ERRORS: Final = logging.getLogger("coffret_server.errors")
LOOK_EVERY: Final = 5.0
_RETRY_SECONDS: Final = 30
_REVISION: Final = "SELECT version_num FROM alembic_version"
_NO_TABLE: Final = "42P01"


def _is_without_it(error: Exception) -> bool:
    """Whether there is no such table, or no database: such tables are not ours either.

    Every other error is of a query that was given up: a time that an operator sets for statements,
    a connection. To refuse all calls for one of those would make a short trouble a whole one.
    """
    if isinstance(error, sqlite3.Error):
        return not reason(error)
    return getattr(error, "sqlstate", None) == _NO_TABLE


class Tables:
    """What is known of the tables' version."""

    def __init__(self, storage: Storage) -> None:
        """Take them for ours, as they were when the database was opened."""
        self._storage = storage
        self._task: asyncio.Task[None] | None = None
        self.are_ours = True

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="coffret-tables")

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def check(self) -> None:
        """Refuse to do anything with tables of another version.

        Raises:
            ProblemError: `unavailable`.
        """
        if not self.are_ours:
            code, detail = "unavailable", "the database is of another version than this server"
            raise ProblemError(code, detail, retry_after=_RETRY_SECONDS)

    async def look(self) -> None:
        """Ask the database; one that does not answer now leaves open what it is."""
        try:
            row = await self._storage.one(_REVISION)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is judged here
            if not _is_without_it(error):
                return
            row = None
        found = None if row is None else str(row[0])
        was, self.are_ours = self.are_ours, found == newest_revision()
        if was and not self.are_ours:
            line = {
                "database": "its tables are of another version: all calls are refused until this"
                " server is started anew, of that version",
                "tables": found,
                "server": newest_revision(),
            }
            ERRORS.error(msgspec.json.encode(line).decode())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()
