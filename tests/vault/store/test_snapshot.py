"""The sealed index file."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret_vault.errors import IndexDamagedError, StoreError, StoreFullError
from coffret_vault.keyring import Keyring
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store.snapshot import load_snapshot, save_snapshot
from harness.logs import ACCOUNT

if TYPE_CHECKING:
    from pathlib import Path


def keyring(*, account: bytes = ACCOUNT, generation: int = 1, key: bytes = b"k" * 32) -> Keyring:
    """Keys of an account."""
    return Keyring(account, generation, SecretBytes(key))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """A snapshot comes back with the size of the log at which it was made; plaintext stays out."""
    path = tmp_path / "index.sealed"
    assert load_snapshot(path, keyring()) is None
    save_snapshot(path, keyring(), 7, b"the index" * 1_000)
    assert load_snapshot(path, keyring()) == (7, b"the index" * 1_000)
    assert b"the index" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    save_snapshot(path, keyring(), 8, b"")
    assert load_snapshot(path, keyring()) == (8, b"")
    assert [item.name for item in tmp_path.iterdir()] == ["index.sealed"]


def test_only_its_own_vault_opens_it(tmp_path: Path) -> None:
    """Another account, generation or key does not open a snapshot."""
    path = tmp_path / "index.sealed"
    save_snapshot(path, keyring(), 7, b"the index")
    for other in (keyring(account=b"b" * 16), keyring(generation=2), keyring(key=b"x" * 32)):
        with pytest.raises(IndexDamagedError):
            load_snapshot(path, other)


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    """A snapshot with any byte changed, cut or added is damaged."""
    path = tmp_path / "index.sealed"
    save_snapshot(path, keyring(), 7, b"the index")
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1 :])
        with pytest.raises(IndexDamagedError):
            load_snapshot(path, keyring())
    for data in (*(whole[:end] for end in range(0, len(whole), 7)), whole + b"\0"):
        path.write_bytes(data)
        with pytest.raises(IndexDamagedError):
            load_snapshot(path, keyring())


def test_a_write_that_fails_leaves_the_older_one(tmp_path: Path) -> None:
    """A full disk or another failure keeps what was there, and leaves nothing half-written."""
    path = tmp_path / "index.sealed"
    save_snapshot(path, keyring(), 7, b"old")
    for number, error in ((errno.ENOSPC, StoreFullError), (errno.EIO, StoreError)):
        with patch("os.fsync", side_effect=OSError(number, "")), pytest.raises(error):
            save_snapshot(path, keyring(), 8, b"new")
        assert load_snapshot(path, keyring()) == (7, b"old")
        assert [item.name for item in tmp_path.iterdir()] == ["index.sealed"]
