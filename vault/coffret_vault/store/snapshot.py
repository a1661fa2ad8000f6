"""A search index at rest: one sealed file. docs/spec/2-envelope.md, Streams.

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
    from coffret_vault.primitives.secret import SecretBytes

_ENOSPC = 28
_PARTIAL = ".partial"
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
    _save(path, u64(size), sealed)


def save_grant_snapshot(path: Path, grant_id: bytes, key: SecretBytes, plaintext: bytes) -> None:
    """Seal a snapshot of an app's index of what a grant covers, replacing the file in one step.

    Args:
        path: the file.
        grant_id: the grant's.
        key: from the grant's key, for its index only.
        plaintext: the index.

    Raises:
        StoreError: as for :func:`save_snapshot`.
    """
    _save(path, b"", seal_stream(key, _grant_context(grant_id), plaintext))


def _save(path: Path, before: bytes, sealed: bytes) -> None:
    if len(before) + len(sealed) > _LARGEST:
        raise StoreError(_NOT_WRITTEN)
    _forget_partial(path)
    try:
        _replace(path, before, sealed)
    except OSError as error:
        _forget_partial(path)
        if error.errno == _ENOSPC:
            raise StoreFullError from None
        raise StoreError(_NOT_WRITTEN) from None


def _replace(path: Path, *parts: bytes) -> None:
    """Write a file for its user only, under a name that nobody can wait at, then in its place."""
    descriptor, partial = tempfile.mkstemp(_PARTIAL, f"{path.stem}.", path.parent)
    with os.fdopen(descriptor, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    Path(partial).replace(path)


def _forget_partial(path: Path) -> None:
    """Delete what was not finished, here or before; what cannot be deleted is in nobody's way."""
    _remove(path.parent, f"{path.stem}*{_PARTIAL}")


def remove_snapshot(path: Path) -> None:
    """Delete a snapshot, and what of one was not finished.

    What cannot be deleted stays, and opens for nobody without the key that it is sealed under.
    """
    with suppress(OSError):
        path.unlink()
    _forget_partial(path)


def remove_snapshots(folder: Path, suffix: str) -> None:
    """The same with all in a folder whose names end so."""
    _remove(folder, f"*{suffix}")
    _remove(folder, f"*{_PARTIAL}")


def _remove(folder: Path, names: str) -> None:
    with suppress(OSError):
        for path in folder.glob(names):
            with suppress(OSError):
                path.unlink()


def load_snapshot(path: Path, keyring: Keyring) -> tuple[int, bytes] | None:
    """The snapshot and the log size that it was made at; None where there is no file.

    Raises:
        IndexDamagedError: the file is not one that this vault's keys sealed.
    """
    data = _read(path)
    if data is None:
        return None
    size = int.from_bytes(data[:_SIZE], "big")
    return size, _open(keyring.kek("local"), _context(keyring, size), data[_SIZE:])


def load_grant_snapshot(path: Path, grant_id: bytes, key: SecretBytes) -> bytes | None:
    """The snapshot of an app's index of what a grant covers; None where there is no file.

    Raises:
        IndexDamagedError: the file is not one that was sealed for this grant, with this key.
    """
    data = _read(path)
    return None if data is None else _open(key, _grant_context(grant_id), data)


def _open(key: SecretBytes, context: bytes, sealed: bytes) -> bytes:
    try:
        return open_stream(key, context, sealed)
    except OpenError:
        raise IndexDamagedError from None


def _read(path: Path) -> bytes | None:
    """What is in a file, if it is one, and no larger than what is written here."""
    try:
        return _content(os.open(path, _PLAIN))
    except FileNotFoundError:
        return None
    except (OSError, MemoryError):
        raise IndexDamagedError from None


def _content(descriptor: int) -> bytes:
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


def _grant_context(grant_id: bytes) -> bytes:
    return pae("stream/grant-index", grant_id)
