"""Who may read what a device keeps: its user alone."""

from __future__ import annotations

import os
import stat
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from coffret_vault.errors import StoreError
from coffret_vault.keyring import Keyring
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store import Store
from coffret_vault.store.snapshot import save_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
NAMES = {"store.db", "store.db-wal", "store.db-shm"}


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """The most careless umask."""
    before = os.umask(0)
    yield
    os.umask(before)


def _modes(folder: Path) -> dict[str, int]:
    return {item.name: stat.S_IMODE(item.stat().st_mode) for item in folder.iterdir()}


@contextmanager
def _written(path: Path) -> Iterator[Store]:
    """A store with something in its write-ahead log."""
    with closing(Store(path)) as store:
        store.set_meta("name", b"value")
        yield store


def test_a_new_store_is_its_user_s(tmp_path: Path) -> None:
    """Every file of a new store is closed to others, in a folder that is open to all."""
    with _written(tmp_path / "store.db"):
        assert _modes(tmp_path) == dict.fromkeys(NAMES, 0o600)


def test_an_open_store_is_closed_when_it_is_used(tmp_path: Path) -> None:
    """Files that were left open to others, by a copy or an older program, are closed again."""
    with _written(tmp_path / "store.db"):
        for item in tmp_path.iterdir():
            item.chmod(0o666)
        with _written(tmp_path / "store.db") as second:
            assert _modes(tmp_path) == dict.fromkeys(NAMES, 0o600)
            assert second.meta("name") == b"value"


def test_the_index_is_its_user_s(tmp_path: Path) -> None:
    """So is the sealed index, also where an unfinished one lies open to all."""
    path = tmp_path / "index.sealed"
    unfinished = path.with_suffix(".partial")
    unfinished.touch(mode=0o666)
    save_snapshot(path, Keyring(b"a" * 16, 1, SecretBytes(b"k" * 32)), 1, b"index")
    assert _modes(tmp_path) == {"index.sealed": 0o600}


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    """Where no database can be made, the store says so."""
    with pytest.raises(StoreError):
        Store(tmp_path / "nowhere" / "store.db")
