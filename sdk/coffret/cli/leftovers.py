"""Folders for plaintext while it is edited, and what was left of them when a command was killed.

A folder is held by a lock (``flock(2)``) for as long as the command, or the editor that it started,
runs; the kernel lets go of it, however they end. One that nobody holds is left over, and the next
command removes it. Where there are no such locks, on Windows, nothing is removed but by its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from coffret.cli.private import is_ours, private_folder

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "edit-"


@contextmanager
def scratch_folder(runtime: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """A private folder for as long as this context, and the descriptors that hold it.

    Who is given the descriptors holds it too.

    Raises:
        StoreError: the folder around it is not this user's alone.
        OSError: it cannot be made.
    """
    private_folder(runtime)
    folder, held = _make(runtime)
    try:
        yield folder, held
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _let_go(held)


def _make(runtime: Path) -> tuple[Path, tuple[int, ...]]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=runtime))
        held = _hold(folder, wait=True)
        if folder.exists():
            return folder, held
        _let_go(held)  # another command took it for a leftover before it was held


def _hold(folder: Path, *, wait: bool) -> tuple[int, ...]:
    if sys.platform == "win32":
        return ()
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # gone, or no folder
        return ()
    try:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # another process's; or a file system without locks, where nothing is removed
        os.close(held)
        return ()
    return (held,)


def _let_go(held: tuple[int, ...]) -> None:
    for each in held:
        os.close(each)


def leftovers(runtime: Path) -> Iterator[Path]:
    """The folders that nobody holds any more; each is held while it is looked at."""
    try:
        if not is_ours(runtime.lstat()):
            return
        found = [entry for entry in runtime.iterdir() if entry.name.startswith(_PREFIX)]
    except OSError:
        return
    for folder in found:
        held = _hold(folder, wait=False)
        if not held:
            continue
        try:
            yield folder
        finally:
            _let_go(held)


def remove_leftovers(runtime: Path) -> None:
    """Remove what commands that were killed left of what was edited."""
    for folder in leftovers(runtime):
        shutil.rmtree(folder, ignore_errors=True)
