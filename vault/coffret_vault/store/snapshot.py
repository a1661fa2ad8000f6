"""The search index at rest: one sealed file beside the database. docs/spec/2-envelope.md, Streams.

It is a cache: losing it loses nothing. It is authenticated whole before anything parses it, because
index libraries crash on damaged files.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from coffret_vault.errors import IndexDamagedError, OpenError, StoreError, StoreFullError
from coffret_vault.formats.pae import pae, u64
from coffret_vault.primitives.stream import open_stream, seal_stream

if TYPE_CHECKING:
    from pathlib import Path

    from coffret_vault.keyring import Keyring

_ENOSPC = 28
_SIZE = 8


def save_snapshot(path: Path, keyring: Keyring, size: int, plaintext: bytes) -> None:
    """Seal a snapshot of the index for a log of ``size`` leaves, replacing the file in one step.

    Raises:
        StoreError: it cannot be written; the older file, if any, stays.
    """
    sealed = seal_stream(keyring.kek("local"), _context(keyring, size), plaintext)
    partial = path.with_suffix(".partial")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(u64(size))
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno == _ENOSPC:
            raise StoreFullError from None
        message = "the search index cannot be written"
        raise StoreError(message) from None


def load_snapshot(path: Path, keyring: Keyring) -> tuple[int, bytes] | None:
    """The snapshot and the log size that it was made at; None where there is no file.

    Raises:
        IndexDamagedError: the file is not one that this vault's keys sealed.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        raise IndexDamagedError from None
    size = int.from_bytes(data[:_SIZE], "big")
    try:
        context = _context(keyring, size)
        return size, open_stream(keyring.kek("local"), context, data[_SIZE:])
    except OpenError:
        raise IndexDamagedError from None


def _context(keyring: Keyring, size: int) -> bytes:
    return pae("stream/index", keyring.account_id, u64(keyring.generation), u64(size))
