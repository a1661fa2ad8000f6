"""The folder of a vault, as it is made."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from coffret.cli.private import check_writable, private_folder, write_private
from coffret.flows.files import write_whole
from coffret.opening import check_place, new_store
from coffret_vault.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """The most careless umask."""
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("there", [False, True])
def test_a_vault_s_folder_is_its_user_s(tmp_path: Path, *, there: bool) -> None:
    """A folder that is made for a vault, or was made for it and is empty, is closed to others."""
    folder = tmp_path / "made" / "vault"
    if there:
        folder.mkdir(parents=True, mode=0o777)
    new_store(folder).close()
    assert _mode(folder) == 0o700


@pytest.mark.parametrize(
    "make",
    [
        check_place,
        private_folder,
        check_writable,
        lambda folder: write_private(folder / "secret-key", [b""]),
        lambda folder: write_whole(folder / "app.json", b""),
    ],
)
def test_what_is_above_a_private_folder_is_its_user_s_too(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """No folder that is made on the way to one lets others put theirs in its place."""
    folder = tmp_path / "config" / "vaults" / "default"
    make(folder)
    assert {_mode(each) for each in (folder, *folder.parents[:2])} == {0o700}


def test_a_folder_with_other_things_stays_open(tmp_path: Path) -> None:
    """Others may have business in a folder that is not the vault's alone; the files are closed."""
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o777)
    (folder / "something").touch()
    new_store(folder).close()
    assert _mode(folder) == 0o777
    assert _mode(folder / "store.db") == 0o600


@pytest.mark.parametrize("inside", ["", "vault"])
def test_a_place_that_is_no_folder_is_our_error(tmp_path: Path, inside: str) -> None:
    """Where no folder can be made, or nothing in it, the error is one of the store."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="no vault can be kept"):
        check_place(tmp_path / "file" / inside)


def test_a_place_that_takes_no_file_is_our_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is there, and is another user's or full, is the store's error as well."""
    monkeypatch.setattr("coffret.opening.TemporaryDirectory", _refused)
    with pytest.raises(StoreError, match="no vault can be kept"):
        check_place(tmp_path)


def _refused(**_: object) -> None:
    raise PermissionError
