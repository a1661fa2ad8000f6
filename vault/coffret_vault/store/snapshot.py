"""The search index at rest: one sealed file beside the database. docs/spec/2-envelope.md, Streams.

It is a cache: losing it loses nothing. It is authenticated whole before anything parses it, because
index libraries crash on damaged files.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from coffret_vault.errors import IndexDamagedError, OpenError, StoreError, StoreFullError
from coffret_vault.formats.pae import pae, u64
from coffret_vault.primitives.stream import open_stream, seal_stream

if TYPE_CHECKING:
    from coffret_vault.keyring import Keyring

_ENOSPC = 28
_SIZE = 8
_LARGEST = 1 << 32
"""Bytes of an index that is kept: millions of passages. Whatever is larger was not made here."""
_NOT_WRITTEN = "the search index cannot be written"
_PLAIN = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
"""To open a file in whose place somebody may have put a link, or a pipe that nobody writes to."""


def save_snapshot(path: Path, keyring: Keyring, size: int, plaintext: bytes) -> None:
    """Seal a snapshot of the index for a log of ``size`` leaves, replacing the file in one step.

    Raises:
        StoreError: it cannot be written; the older file, if any, stays.
    """
    sealed = seal_stream(keyring.kek("local"), _context(keyring, size), plaintext)
    if _SIZE + len(sealed) > _LARGEST:
        raise StoreError(_NOT_WRITTEN)
    _forget_partial(path)
    try:
        _replace(path, u64(size), sealed)
    except OSError as error:
        _forget_partial(path)
        if error.errno == _ENOSPC:
            raise StoreFullError from None
        raise StoreError(_NOT_WRITTEN) from None


def _replace(path: Path, *parts: bytes) -> None:
    """Write a file for its user only, under a name that nobody can wait at, then in its place."""
    descriptor, partial = tempfile.mkstemp(".partial", f"{path.stem}.", path.parent)
    with os.fdopen(descriptor, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    Path(partial).replace(path)


def _forget_partial(path: Path) -> None:
    """Delete what was not finished, here or before; what cannot be deleted is in nobody's way."""
    with suppress(OSError):
        for partial in path.parent.glob(f"{path.stem}*.partial"):
            with suppress(OSError):
                partial.unlink()


def load_snapshot(path: Path, keyring: Keyring) -> tuple[int, bytes] | None:
    """The snapshot and the log size that it was made at; None where there is no file.

    Raises:
        IndexDamagedError: the file is not one that this vault's keys sealed.
    """
    try:
        data = _read(path)
    except FileNotFoundError:
        return None
    except (OSError, MemoryError):
        raise IndexDamagedError from None
    size = int.from_bytes(data[:_SIZE], "big")
    try:
        context = _context(keyring, size)
        return size, open_stream(keyring.kek("local"), context, data[_SIZE:])
    except OpenError:
        raise IndexDamagedError from None


def _read(path: Path) -> bytes:
    """What is in a file, if it is one, and no larger than what is written here."""
    descriptor = os.open(path, _PLAIN)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            raise IndexDamagedError
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(_LARGEST)
    finally:
        os.close(descriptor)


def _context(keyring: Keyring, size: int) -> bytes:
    return pae("stream/index", keyring.account_id, u64(keyring.generation), u64(size))
