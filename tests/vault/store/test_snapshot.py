"""The sealed index file."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret_vault.errors import IndexDamagedError, StoreError, StoreFullError
from coffret_vault.grants.apps import index_key
from coffret_vault.keyring import Keyring
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store.snapshot import (
    load_grant_snapshot,
    load_snapshot,
    save_grant_snapshot,
    save_snapshot,
)
from harness.logs import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable
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


def test_only_its_own_grant_opens_it(tmp_path: Path) -> None:
    """Another grant's id or key, the grant's own key or a vault's open no app's index."""
    path, grant_id, grant_key = tmp_path / "one.index", b"g" * 16, SecretBytes(b"k" * 32)
    key = index_key(grant_key, grant_id)
    assert load_grant_snapshot(path, grant_id, key) is None
    save_grant_snapshot(path, grant_id, key, b"the index")
    assert load_grant_snapshot(path, grant_id, key) == b"the index"
    assert b"the index" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    another = index_key(grant_key, b"h" * 16)
    for other_id, other in ((b"h" * 16, key), (grant_id, another), (grant_id, grant_key)):
        with pytest.raises(IndexDamagedError):
            load_grant_snapshot(path, other_id, other)
    with pytest.raises(IndexDamagedError):
        load_snapshot(path, keyring())


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


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 43)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "something").write_bytes(b"")


OTHERS: dict[str, Callable[[Path], object]] = {
    "a file of 8 TiB": _sparse,
    "a pipe": os.mkfifo,
    "a folder": _folder,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link that leads nowhere": lambda path: path.symlink_to("/nonexistent/place"),
}


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are of POSIX")
@pytest.mark.attack(49)
@pytest.mark.parametrize("other", OTHERS)
def test_whatever_is_in_its_place_is_not_read(tmp_path: Path, other: str) -> None:
    """What is no file, or none that was made here, is damaged at once, and made again if it can."""
    path = tmp_path / "index.sealed"
    OTHERS[other](path)
    careless = patch("pathlib.Path.read_bytes", side_effect=AssertionError("it was read"))
    with careless, pytest.raises(IndexDamagedError):
        load_snapshot(path, keyring())
    if path.is_dir():
        with pytest.raises(StoreError):
            save_snapshot(path, keyring(), 7, b"the index")
    else:
        save_snapshot(path, keyring(), 7, b"the index")
        assert load_snapshot(path, keyring()) == (7, b"the index")
    assert [item.name for item in tmp_path.iterdir()] == ["index.sealed"]


def test_a_file_that_does_not_fit_into_memory_is_damaged(tmp_path: Path) -> None:
    """A machine with too little memory for what stands there makes the index again."""
    path = tmp_path / "index.sealed"
    save_snapshot(path, keyring(), 7, b"the index")
    full = patch("coffret_vault.store.snapshot._content", side_effect=MemoryError)
    with full, pytest.raises(IndexDamagedError):
        load_snapshot(path, keyring())


def test_no_more_is_written_than_is_read(tmp_path: Path) -> None:
    """An index that would be too large to be loaded is not kept."""
    path = tmp_path / "index.sealed"
    with patch("coffret_vault.store.snapshot._LARGEST", 100), pytest.raises(StoreError):
        save_snapshot(path, keyring(), 7, b"the index" * 100)
    assert not path.exists()


def test_what_was_not_finished_stands_in_nobody_s_way(tmp_path: Path) -> None:
    """Parts of before are deleted; a folder under such a name stays, and does no harm."""
    path = tmp_path / "index.sealed"
    (tmp_path / "index.1234.partial").write_bytes(b"half")
    (tmp_path / "index.partial").mkdir()
    save_snapshot(path, keyring(), 7, b"the index")
    with patch("os.fsync", side_effect=OSError(errno.EIO, "")), pytest.raises(StoreError):
        save_snapshot(path, keyring(), 8, b"new")
    assert load_snapshot(path, keyring()) == (7, b"the index")
    assert {item.name for item in tmp_path.iterdir()} == {"index.sealed", "index.partial"}


def test_a_write_that_fails_leaves_the_older_one(tmp_path: Path) -> None:
    """A full disk or another failure keeps what was there, and leaves nothing half-written."""
    path = tmp_path / "index.sealed"
    save_snapshot(path, keyring(), 7, b"old")
    for number, error in ((errno.ENOSPC, StoreFullError), (errno.EIO, StoreError)):
        with patch("os.fsync", side_effect=OSError(number, "")), pytest.raises(error):
            save_snapshot(path, keyring(), 8, b"new")
        assert load_snapshot(path, keyring()) == (7, b"old")
        assert [item.name for item in tmp_path.iterdir()] == ["index.sealed"]
