"""Moving the write-ahead log into the database beside the writer, not in its way.

SQLite would do it inside a commit, every thousand pages, and whoever waits for that commit waits
for it too. Here a thread with a connection of its own copies what it can (`PASSIVE`, which stops
nobody); then the writer, between two groups, copies the little that came since and begins the log
anew (`RESTART`), so that it stays as large as it is and is written over from its start.
"""

import asyncio
import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import Final

EVERY_ROWS: Final = 16_000
FALLBACK_PAGES: Final = 32_000
"""When SQLite is to do it by itself: for connections whose commits are not counted here."""


class Checkpoints:
    """Decides after each commit whether there is something to do."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, "coffret-checkpoint")
        self._counted = 0
        self._running: asyncio.Future[object] | None = None

    def is_restart_due(self, rows: int) -> bool:
        """Whether the writer is to begin the log anew now.

        Args:
            rows: how many rows the writer has changed since it was opened.
        """
        if self._running is not None and self._running.done():
            self._running = None
            return True
        if self._running is None and rows - self._counted >= EVERY_ROWS:
            self._counted = rows
            loop = asyncio.get_running_loop()
            self._running = loop.run_in_executor(self._thread, self._copy)
        return False

    def _copy(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # what could not be copied stays in the log
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Wait for what runs, and close the connection."""
        self._thread.shutdown()
        self._connection.close()
