"""Files and folders that only their user can read."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from coffret.flows.files import make_folder, sync_folder
from coffret_vault.errors import ConflictError, InputError, StoreError, StoreFullError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_ENOSPC = 28
_OTHERS = 0o077


def private_folder(path: Path) -> Path:
    """Make a folder for this user alone, or check that it is one.

    Raises:
        StoreError: it cannot be made, is not a folder, or others own it or can enter it.
    """
    try:
        make_folder(path)
        found = path.lstat()
    except OSError:
        message = f"the folder {path} cannot be made"
        raise StoreError(message) from None
    if not stat.S_ISDIR(found.st_mode) or not is_ours(found):
        message = f"the folder {path} is not this user's alone"
        raise StoreError(message, hint="Remove it, or make it yours: chmod 700")
    return path


def is_ours(found: os.stat_result) -> bool:
    """Whether a file is this user's, and nobody else can use it; Windows keeps that elsewhere."""
    if not hasattr(os, "getuid"):
        return True
    return found.st_uid == os.getuid() and not found.st_mode & _OTHERS


def check_new(path: Path, *, replace: bool = False) -> None:
    """Look whether a file that somebody named can be made, before anything is done for it.

    Raises:
        InputError: its folder is not there; none is made. Or what is to be replaced is no file.
        ConflictError: there is one already, and ``replace`` is not set.
    """
    if not path.parent.is_dir():
        message = f"the folder {path.parent} is not there"
        raise InputError(message, hint="Make it, or name another one.")
    if not replace and path.exists():
        raise _there(path)
    if replace and path.exists() and not path.is_file():  # a pipe, or a device such as /dev/null
        message = f"{path} is not a file, and is not replaced by one"
        raise InputError(message)


def check_writable(folder: Path) -> None:
    """Look whether a private file can be made in a folder, which is made if need be.

    Raises:
        StoreError: it cannot.
    """
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError:
        message = f"nothing can be written to the folder {folder}"
        raise StoreError(message) from None


def write_private(path: Path, parts: Iterable[bytes], *, replace: bool = True) -> int:
    """Write a file that only its user can read, in one step, and give its size.

    Args:
        path: where; its folder is made if need be.
        parts: what, as it comes.
        replace: put it in the place of an older one.

    Raises:
        ConflictError: there is one already, or by the time it is whole, and ``replace`` is not set.
        StoreError: it cannot be written; an older one stays as it was.
    """
    if not replace and path.exists():
        raise _there(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        make_folder(path.parent)
        size = _write_new(partial, parts)
        if replace:
            partial.replace(path)
        else:
            _name_anew(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno == _ENOSPC:
            raise StoreFullError from None
        message = f"{path} cannot be written"
        raise StoreError(message) from None
    finally:
        with suppress(OSError):  # after the replacing, or an error, it is not there
            partial.unlink()
    return size


def _there(path: Path) -> ConflictError:
    message = f"{path} is there already"
    return ConflictError(message)


def _name_anew(partial: Path, path: Path) -> None:
    """Give a file that was written its name, if nothing has that name by now.

    A second name is given in one step, and to no name that is taken. Where a file system knows one
    name for a file only, the name is taken by an empty file first, which the whole one replaces.

    Raises:
        ConflictError: something was made under that name meanwhile.
        OSError: it cannot be.
    """
    try:
        try:
            os.link(partial, path, follow_symlinks=False)
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            partial.replace(path)
    except FileExistsError:
        raise _there(path) from None


def _write_new(path: Path, parts: Iterable[bytes]) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, flags, 0o600), "wb") as out:
        size = sum(out.write(part) for part in parts)
        out.flush()
        os.fsync(out.fileno())
    return size
