"""A folder in memory, for tests that begin devices by the thousand and never cut the power."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY = Path("/dev/shm")  # noqa: S108 - folders in it are made by tempfile, for this user alone
_NEEDED = 1 << 25


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder that is gone afterwards; on disk where the system has none in memory.

    What is written there is given to the same system calls and read back the same. Only waiting
    for a disk is left out, of which half of such a test consists.
    """
    with tempfile.TemporaryDirectory(dir=_MEMORY if _is_good() else None) as made:
        yield Path(made)


def _is_good() -> bool:
    if not os.access(_MEMORY, os.W_OK):
        return False
    found = os.statvfs(_MEMORY)
    return found.f_bavail * found.f_frsize >= _NEEDED
