"""A disk that takes no more is named as that, whatever of a store SQLite could not write."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from coffret_vault.store import Store

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("resource")  # there is none on Windows

_SCRIPT = """
import resource, sys
from pathlib import Path
from coffret_vault.errors import StoreError
from coffret_vault.store import Store

def grown_to(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

path, early, size = Path(sys.argv[1]), sys.argv[2] == "early", int(sys.argv[3])
try:
    if early:
        grown_to(size)
    store = Store(path)
    grown_to(size)
    store.set_meta("name", bytes(size))
except StoreError as error:
    print(error.code, error, error.hint, sep="|")
"""


def _told(path: Path, when: str, size: int) -> list[str]:
    """The code, the words and the hint of what is said where no file can have so many bytes."""
    Store(path).close()
    ran = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _SCRIPT, str(path), when, str(size)],
        capture_output=True,
        text=True,
        check=True,
    )
    with closing(Store(path)) as store:
        assert store.meta("name") is None
    return ran.stdout.strip().split("|")


def test_a_disk_that_was_full_before_is_named_where_a_store_is_opened(tmp_path: Path) -> None:
    """What connections share has no room then; the words say what to do, and not what SQLite is."""
    code, words, hint = _told(tmp_path / "store.db", "early", 5_000)
    assert (code, "SQLITE" in words) == ("disk-full", False)
    assert words.startswith("The disk is full; what was done before stays")
    assert hint == "make room on it, and do the same again; an import goes on where it stopped"


def test_a_disk_that_fails_or_has_a_quota_is_told_from_a_damaged_store(tmp_path: Path) -> None:
    """Nothing is the matter with the store, so nobody is told to leave it behind."""
    code, words, hint = _told(tmp_path / "store.db", "late", 100_000)
    assert code == "store"
    assert words == "the disk does not take or give what it should (SQLITE_IOERR_WRITE)"
    assert "quota" in hint
