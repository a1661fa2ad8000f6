"""A device that loses power: what of its store is on the disk by then, and nothing else.

SQLite is asked to sync by ``PRAGMA synchronous``: what was committed under ``FULL`` is on the disk
with all that came before it; of what was committed later under ``NORMAL`` nothing need be.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from coffret_vault.store import Store

_FILES = ("store.db", "store.db-wal")
_FULL = "PRAGMA synchronous=FULL"
_NORMAL = "PRAGMA synchronous=NORMAL"


class Power:
    """Follows what a store has synced, until the power is cut."""

    def __init__(self, store: Store, disk: Path) -> None:
        """Everything that is in the store by now is on the ``disk``."""
        self._folder = store.path.parent
        self._disk = disk
        self._full = False
        self._database = store._database
        self.syncs = 0
        disk.mkdir()
        self._sync()
        self._database.set_trace_callback(self._said)

    def _said(self, statement: str) -> None:
        if statement == _FULL:
            self._full = True
        elif statement == _NORMAL and self._full:
            self._full = False
            self.syncs += 1
            self._sync()

    def _sync(self) -> None:
        for name in _FILES:
            (self._disk / name).unlink(missing_ok=True)
            if (self._folder / name).exists():
                shutil.copy(self._folder / name, self._disk / name)

    def cut(self) -> None:
        """Leave the device with what is on the disk; its program has ended."""
        for name in (*_FILES, "store.db-shm"):
            (self._folder / name).unlink(missing_ok=True)
        shutil.copytree(self._disk, self._folder, dirs_exist_ok=True)
