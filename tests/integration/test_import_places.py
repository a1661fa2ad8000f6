"""Folders of one name from several places: none is taken for an update of another."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from adversary.test_key_changes import NEW, change
from coffret_vault.errors import InputError
from coffret_vault.formats.pae import u64
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from pathlib import Path

    from coffret import ImportReport, Vault
    from coffret_vault.ingest.spaces import Likeness
    from harness.world import World


def folder(parent: Path, **files: str) -> Path:
    """A folder called ``notes`` in another folder, with these files."""
    place = parent / "notes"
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / f"{name}.md").write_text(text)
    return place


def counts(report: ImportReport) -> tuple[int, int, int]:
    """Created, updated, unchanged."""
    return report.created, report.updated, report.unchanged


def texts(vault: Vault) -> set[str]:
    """What the vault holds."""
    return {memory.content for memory in vault.list()}


def test_two_folders_of_one_name_are_two(either: World, tmp_path: Path) -> None:
    """The second keeps apart what it names alike; both are updated by themselves afterwards."""
    vault = either.owner().vault
    work = folder(tmp_path / "work", todo="hire", plan="grow", same="alike")
    home = folder(tmp_path / "home", todo="cook", plan="rest", same="alike")
    assert counts(vault.import_paths([work])) == (3, 0, 0)
    report = vault.import_paths([home])
    assert counts(report) == (3, 0, 0)
    (told,) = report.folders
    assert (told.place, told.name, told.namespace) == (str(home), "notes", "notes (2)")
    folder(tmp_path / "work", todo="hire two")
    folder(tmp_path / "home", todo="cook soup")
    assert counts(vault.import_paths([work, home])) == (0, 2, 4)
    assert texts(vault) == {"hire two", "grow", "alike", "cook soup", "rest"}
    assert {memory.source for memory in vault.list() if memory.content == "cook soup"} == {
        "markdown:notes (2)/todo.md"
    }


def test_both_at_once_are_two_as_well(either: World, tmp_path: Path) -> None:
    """Named in one call, the second is compared with what the first brings."""
    vault = either.owner().vault
    places = [folder(tmp_path / name, todo=f"for {name}") for name in ("a", "b", "c")]
    report = vault.import_paths(places)
    assert counts(report) == (3, 0, 0)
    assert [told.namespace for told in report.folders] == ["notes", "notes (2)", "notes (3)"]
    assert counts(vault.import_paths(places)) == (0, 0, 3)


def test_a_place_is_known_again_whatever_is_in_it(either: World, tmp_path: Path) -> None:
    """Everything in a folder was changed, and the vault was closed meanwhile: it is updated."""
    owner = either.owner()
    place = folder(tmp_path, one="1", two="2")
    owner.vault.import_paths([place])
    at = owner.vault.folder
    owner.vault.close()
    again = either.closing(either.face.open(at, **either.around()))
    again.unlock(PASSPHRASE, owner.secret_key)
    folder(tmp_path, one="first", two="second")
    assert counts(again.import_paths([place])) == (0, 2, 0)
    assert texts(again) == {"first", "second"}


def test_a_folder_is_known_again_elsewhere_and_on_another_device(
    either: World, tmp_path: Path
) -> None:
    """Moved, or synced to a second device and edited a little, it is the same folder."""
    owner = either.owner()
    place = folder(tmp_path / "here", one="1", two="2", three="3")
    owner.vault.import_paths([place])
    moved = tmp_path / "there" / "notes"
    shutil.copytree(place, moved)
    (moved / "one.md").write_text("first")
    (moved / "four.md").write_text("4")
    other = either.device(owner)
    report = other.import_paths([moved])
    assert counts(report) == (1, 1, 2)
    assert report.folders[0].namespace == "notes"
    assert counts(owner.vault.import_paths([moved])) == (0, 0, 4)


def test_where_it_cannot_be_told_somebody_is_asked(either: World, tmp_path: Path) -> None:
    """A folder that is a little like one of before is that one if the person says so."""
    vault = either.owner().vault
    vault.import_paths([folder(tmp_path / "a", one="1", two="2", three="3")])
    asked: list[tuple[Path, Likeness]] = []

    def judge(place: Path, like: Likeness) -> bool:
        asked.append((place, like))
        return like.same == 1

    little = folder(tmp_path / "b", one="1", two="zwei", three="drei")
    assert counts(vault.import_paths([little], judge=judge)) == (0, 2, 1)
    none = folder(tmp_path / "c", one="eins", two="due", three="tre")
    assert counts(vault.import_paths([none], judge=judge)) == (3, 0, 0)
    assert [(place, like.there, like.same) for place, like in asked] == [
        (little, 3, 1),
        (none, 3, 0),
    ]


def test_the_caller_may_say_which_it_is(either: World, tmp_path: Path) -> None:
    """A namespace goes before everything, and is kept for the place; it is for one folder only."""
    vault = either.owner().vault
    first, second = folder(tmp_path / "a", x="1"), folder(tmp_path / "b", x="2")
    vault.import_paths([first], namespace="work")
    assert counts(vault.import_paths([second], namespace="work")) == (0, 1, 0)
    assert counts(vault.import_paths([second])) == (0, 0, 1)
    with pytest.raises(InputError, match="one folder"):
        vault.import_paths([first, second], namespace="work")
    with pytest.raises(InputError, match="not a path"):  # it would pass for a folder "work"
        vault.import_paths([first], namespace="work/x")


def test_files_alone_are_of_their_folder(either: World, tmp_path: Path) -> None:
    """Imported one by one or with the folder, a file is the same; of another folder it is not."""
    vault = either.owner().vault
    here, there = folder(tmp_path / "a", x="1", y="2"), folder(tmp_path / "b", x="3")
    assert counts(vault.import_paths([here / "x.md", here / "y.md"])) == (2, 0, 0)
    assert counts(vault.import_paths([here])) == (0, 0, 2)
    assert counts(vault.import_paths([there / "x.md"])) == (1, 0, 0)
    (there / "x.md").write_text("4")
    assert counts(vault.import_paths([there])) == (0, 1, 0)
    assert texts(vault) == {"1", "2", "4"}


@pytest.mark.parametrize("here", [True, False])
def test_after_a_key_change_places_are_known(world: World, tmp_path: Path, here: bool) -> None:  # noqa: FBT001 - pytest names it
    """An import that was interrupted goes on, though hardly anything of the folder is as it was."""
    owner = world.owner()
    place = folder(tmp_path, one="1", two="2")
    owner.vault.import_paths([place])
    code = change(owner.vault if here else world.device(owner)).secret_key_code()
    if not here:
        owner.vault.log_in_again(NEW, code)
    folder(tmp_path, one="first", two="second")
    assert counts(owner.vault.import_paths([place])) == (0, 2, 0)


def test_after_a_locked_device_entered_folders_are_known_by_what_they_hold(
    world: World, tmp_path: Path
) -> None:
    """The note of places goes with the old keys; what is unchanged is not imported twice."""
    owner = world.owner()
    place = folder(tmp_path, one="1", two="2")
    owner.vault.import_paths([place])
    code = change(world.device(owner)).secret_key_code()
    owner.vault.lock()
    owner.vault.log_in_again(NEW, code)
    assert counts(owner.vault.import_paths([place])) == (0, 0, 2)


def test_a_note_of_places_that_is_not_ours_counts_as_none(world: World, tmp_path: Path) -> None:
    """Whoever writes to the device's folder neither says which folder is which, nor stops it."""
    vault = world.owner().vault
    place = folder(tmp_path, one="1", two="2")
    vault.import_paths([place])
    vault._state.store.set_meta("import places", u64(1) + b"\1" + bytes(80))
    assert counts(vault.import_paths([place])) == (0, 0, 2)
    folder(tmp_path, one="first", two="second")
    assert counts(vault.import_paths([place])) == (0, 2, 0)


def test_no_place_is_readable_in_the_store(world: World, tmp_path: Path) -> None:
    """What the device notes of its folders is sealed."""
    vault = world.owner().vault
    place = folder(tmp_path / "very-private-place", one="1")
    vault.import_paths([place])
    vault.close()
    kept = b"".join(path.read_bytes() for path in vault.folder.iterdir() if path.is_file())
    assert b"very-private-place" not in kept


def test_what_a_folder_has_no_more_stays_and_is_told(either: World, tmp_path: Path) -> None:
    """Deleted, emptied and renamed files are named; a file by itself says nothing of others."""
    vault = either.owner().vault
    place = folder(tmp_path, kept="1", deleted="2", emptied="3", renamed="4")
    assert vault.import_paths([place]).gone == ()
    (place / "deleted.md").unlink()
    (place / "emptied.md").write_text("")
    (place / "renamed.md").rename(place / "other.md")
    assert vault.import_paths([place / "kept.md"]).gone == ()
    report = vault.import_paths([place])
    assert [item.source for item in report.gone] == [
        f"notes/{name}.md" for name in ("deleted", "emptied", "renamed")
    ]
    assert vault.get(report.gone[0].id).content == "2"
    assert "deleted" not in repr(report.gone[0])
    assert texts(vault) == {"1", "2", "3", "4"}
    vault.forget(report.gone[0].id)
    assert len(vault.import_paths([place]).gone) == 2
