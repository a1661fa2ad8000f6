"""Write a small file whole or not at all, for its user only, and one process after the other."""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE = 30.0
"""Seconds for which another process may hold a file: it does for the time of one writing."""
_TRIES = 16
_ITSELF = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""What has a name is opened, following no link and waiting for no pipe."""


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are not there, each for its user only.

    Python makes those above as the umask has it. Who can write to one of them can put another
    folder in the place of ours, whatever its own mode is.

    Raises:
        OSError: it cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True, mode=0o700)
    except FileNotFoundError:
        if folder.parent == folder:
            raise
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)


def write_whole(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step, readable by its user only; what is there goes.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
        with suppress(OSError):  # it is there; a folder that cannot be opened is not synced
            sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def erase(path: Path) -> None:
    """Remove a file, and what it says before that, where a disk writes a file's blocks in place.

    Not all do (flash, snapshots): it is a hurdle, and no promise. What another name leads to as
    well, by a link of either kind, is left as it is: only the name goes then.

    Raises:
        OSError: it is not there, or cannot be removed.
    """
    with suppress(OSError), os.fdopen(os.open(path, os.O_WRONLY | _ITSELF), "wb") as out:
        found = os.fstat(out.fileno())
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            out.write(bytes(found.st_size))
            out.flush()
            os.fsync(out.fileno())
    path.unlink()


def sync_folder(folder: Path) -> None:
    """Have the names in it on the disk too: a file that a power cut takes away is lost.

    Raises:
        OSError: it cannot be opened.
    """
    if os.name == "nt":  # where folders cannot be opened
        return
    found = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems do not know it
            os.fsync(found)
    finally:
        os.close(found)


@contextmanager
def held_alone(path: Path) -> Iterator[None]:
    """Hold a name that nothing else uses, at once or not at all, until the block is left.

    The lock is of the kind of :func:`held`, and is taken away while it is held: no file stays. Who
    waited for one that was taken away holds nothing with it, and sees so by what has the name now.

    Raises:
        BlockingIOError: another process holds it.
        OSError: it cannot be held.
    """
    with closing(_locked_alone(path)):
        try:
            yield
        finally:
            with suppress(OSError):  # an open file keeps its name on some systems
                path.unlink()


def _locked_alone(path: Path) -> sqlite3.Connection:
    for _ in range(_TRIES):
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with suppress(FileNotFoundError):
            before = path.lstat()
            lock = _locked(path)
            with suppress(FileNotFoundError):
                if os.path.samestat(before, path.lstat()):
                    return lock
            lock.close()
    raise BlockingIOError


def _locked(path: Path) -> sqlite3.Connection:
    with ExitStack() as until_held:
        try:
            lock = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            until_held.enter_context(closing(lock))
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            raise (BlockingIOError if busy else OSError) from error
        until_held.pop_all()
    return lock


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file against other processes that hold it so, until the block is left.

    What is locked is an empty SQLite database beside it: SQLite knows how to lock on each system,
    waits for others, and a process that ends leaves no lock behind.

    Raises:
        OSError: it cannot be held, or another process does not let go.
    """
    beside = path.with_name(f".{path.name}.lock")
    with suppress(FileExistsError):
        os.close(os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        lock = sqlite3.connect(beside, timeout=_PATIENCE, isolation_level=None)
        with closing(lock):
            lock.execute("BEGIN EXCLUSIVE")
            yield
    except sqlite3.Error as error:
        raise OSError from error
