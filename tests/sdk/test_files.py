"""Small files: what is removed with what it says."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.flows import files
from coffret.flows.files import erase, held_alone

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

SAID = b"what nobody is to read"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that says something."""
    made = tmp_path / "secret"
    made.write_bytes(SAID)
    return made


def test_what_a_file_said_is_overwritten(path: Path) -> None:
    """It is not only the name that goes: whoever has the file open reads zeros."""
    with path.open("rb") as kept:
        erase(path)
        assert kept.read() == bytes(len(SAID))
    assert not path.exists()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_link_makes_it_overwrite_another_file(path: Path, link: object) -> None:
    """Whoever puts a link in its place has it remove that, and spoil nothing."""
    assert callable(link)
    planted = path.with_name("planted")
    link(path, planted)
    erase(planted)
    assert path.read_bytes() == SAID
    assert not os.path.lexists(planted)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_removed_and_not_waited_for(tmp_path: Path, make: object) -> None:
    """A pipe that nobody reads holds nobody up, and a link into nothing goes."""
    assert callable(make)
    path = tmp_path / "planted"
    make(path)
    erase(path)
    assert not os.path.lexists(path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """A file that is missing, or a folder in its place, is an error of the system's."""
    with pytest.raises(FileNotFoundError):
        erase(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        erase(tmp_path / "folder")


def test_what_is_held_alone_is_held_once_and_leaves_nothing(tmp_path: Path) -> None:
    """Who comes meanwhile is refused at once; who comes afterwards, or finds a file left, holds."""
    path = tmp_path / "lock"
    path.touch()
    for _ in range(2):
        with held_alone(path):
            with pytest.raises(BlockingIOError), held_alone(path):
                pass
            assert path.exists()
        assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_taken_away_holds_nothing(tmp_path: Path) -> None:
    """What is locked is what has the name now: not the file of one who has let go meanwhile."""
    path, locked, others = tmp_path / "lock", files._locked, ExitStack()

    def late(which: Path) -> sqlite3.Connection:
        lock = locked(which)
        which.unlink()  # the one who held it lets go, and another comes
        with patch.object(files, "_locked", locked):
            others.enter_context(held_alone(which))
        return lock

    with (
        others,
        patch.object(files, "_locked", late),
        pytest.raises(BlockingIOError),
        held_alone(path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_held_is_said(tmp_path: Path) -> None:
    """Something else that has the name is no lock, and is told as what befalls files is."""
    (tmp_path / "lock").mkdir()
    with pytest.raises(OSError) as raised, held_alone(tmp_path / "lock"):  # noqa: PT011 - any
        pass
    assert not isinstance(raised.value, BlockingIOError)
