"""Apps that would have the owner's next import write into what they hold, or leave something out.

An import knows its memories again by marks in their provenance. An app can write there whatever it
likes; but only the owner's own import says which memory is whose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret.sources import read_paths
from coffret_vault.ingest import read_export

if TYPE_CHECKING:
    from pathlib import Path

    from coffret import Access, ImportReport, Memory
    from harness.world import Owner, World

DIARY = "# Diary\n\nPRIVATE: my PIN is 4711.\n"
SEALS = "coffret_vault.records.seal.said_by"
TAGS = ["planner"]


class Case:
    """An owner with a folder of notes, and an app that has what is tagged for it and no more."""

    def __init__(self, world: World, folder: Path, *, automatic: bool = False) -> None:
        """The folder was imported once, without the diary."""
        self.world, self.automatic = world, automatic
        self.owner: Owner = world.owner()
        self.vault = self.owner.vault
        self.folder = folder / "Notes"
        self.folder.mkdir()
        self.write("todo.md", "# Todo\n\nbuy milk\n")
        self.plan = self.vault.remember("plans", tags=TAGS)
        asking: dict[str, Any] = {"tags": TAGS, "scopes": {"read", "create", "update"}}
        self.import_folder()
        self.grant_id, self.access = world.granted(
            self.owner, world.app(), auto_accept=automatic, **asking
        )

    def write(self, name: str, text: str) -> None:
        """Put a file into the folder."""
        (self.folder / name).write_text(text)

    def import_folder(self) -> ImportReport:
        """Import it, for the first time or again."""
        return self.vault.import_paths([self.folder])

    def mark(self, name: str) -> dict[str, str]:
        """The marks that an import would make for a file."""
        drafts = read_paths([self.folder]).folders[0].drafts()
        draft = next(draft for draft in drafts if draft.key.endswith(name))
        return {"import_key": draft.key, "import_digest": draft.digest}

    def accept(self) -> None:
        """Take everything that waits, as the owner or unseen."""
        self.vault.sync()
        for item in () if self.automatic else self.vault.pending():
            self.vault.accept(item.memory_id, item.version)
        assert not self.vault.pending()

    def current(self, content: str) -> Memory:
        """The one memory that says something."""
        (found,) = [memory for memory in self.vault.list() if content in memory.content]
        return found


def said(access: Access) -> str:
    """All that an app can read."""
    return "\n".join(memory.content for memory in access.memories())


def create(case: Case, marks: dict[str, str]) -> str:
    """The app makes a memory with marks."""
    return case.access.remember("harmless", tags=TAGS, provenance=marks).id


def update(case: Case, marks: dict[str, str]) -> str:
    """The app changes a memory that it holds to one with marks."""
    return case.access.update(case.plan.id, content="harmless", provenance=marks).id


def left(_case: Case, _memory_id: str) -> None:
    """Nothing happens to what the app wrote."""


def rotated(case: Case, memory_id: str) -> None:
    """The owner's device writes it again, unchanged."""
    grant_id, _ = case.world.granted(case.owner, case.world.app("Other"), scopes={"read"})
    case.vault.revoke(grant_id)
    case.vault.rotate()
    assert case.vault.get(memory_id).author == "owner"


def edited(case: Case, memory_id: str) -> None:
    """The owner writes it again with what it says of where it comes from, and a word more."""
    provenance = {**case.vault.get(memory_id).provenance, "seen": "yes"}
    case.vault.update(memory_id, provenance=provenance)


@pytest.mark.attack(39)
@pytest.mark.parametrize("automatic", [False, True])
@pytest.mark.parametrize("planted", [create, update])
@pytest.mark.parametrize("then", [left, rotated, edited])
def test_an_app_names_no_file_that_goes_into_its_memory(
    world: World, tmp_path: Path, planted: Any, then: Any, *, automatic: bool
) -> None:
    """Whatever an app says a memory is of, the file becomes a memory that it does not hold."""
    case = Case(world, tmp_path, automatic=automatic)
    memory_id = planted(case, {"import_key": "markdown:Notes/diary.md"})
    case.accept()
    then(case, memory_id)
    case.write("diary.md", DIARY)
    report = case.import_folder()
    assert (report.created, report.updated, report.unchanged) == (1, 0, 1)
    assert case.current("4711").id != memory_id
    assert "4711" not in said(case.access)
    assert "harmless" in case.vault.get(memory_id).content


@pytest.mark.control(39)
@pytest.mark.parametrize("planted", [create, update])
def test_a_device_that_believes_an_app_s_mark_hands_the_file_over(
    world: World, tmp_path: Path, planted: Any
) -> None:
    """Control: with the app's provenance taken as it is, the app reads the owner's file."""
    case = Case(world, tmp_path)
    with patch(SEALS, lambda _author, provenance: provenance):
        planted(case, {"import_key": "markdown:Notes/diary.md"})
        case.accept()
        case.write("diary.md", DIARY)
        assert case.import_folder().created == 0
    assert "4711" in said(case.access)


@pytest.mark.attack(39)
@pytest.mark.parametrize("planted", [create, update])
def test_an_app_that_knows_a_file_keeps_it_out_of_no_vault(
    world: World, tmp_path: Path, planted: Any
) -> None:
    """With the digest of a file that is not imported yet, too, the file is imported."""
    case = Case(world, tmp_path, automatic=True)
    case.write("diary.md", DIARY)
    planted(case, case.mark("diary.md"))
    case.accept()
    assert case.import_folder().created == 1
    assert case.current("4711").author == "owner"


@pytest.mark.attack(39)
@pytest.mark.parametrize("automatic", [False, True])
@pytest.mark.parametrize("marks", [{}, {"import_key": "markdown:Notes/diary.md"}, {"other": "x"}])
def test_an_app_takes_no_mark_from_what_was_imported(
    world: World, tmp_path: Path, marks: dict[str, str], *, automatic: bool
) -> None:
    """An imported memory that an app changed is still of its own file, and of no other."""
    case = Case(world, tmp_path, automatic=automatic)
    case.write("shared.md", "---\ntags: planner\n---\n# Shared\n\nfirst\n")
    case.import_folder()
    shared = case.current("first")
    _, access = world.granted(
        case.owner, world.app("Two"), memories={shared.id}, auto_accept=automatic
    )
    access.update(shared.id, content="by the app", provenance=marks)
    case.accept()
    assert case.vault.get(shared.id).content == "by the app"
    case.write("diary.md", DIARY)
    report = case.import_folder()
    assert (report.created, report.updated, report.unchanged) == (1, 0, 2)
    assert "4711" not in said(access)
    case.write("shared.md", "---\ntags: planner\n---\n# Shared\n\nsecond\n")
    report = case.import_folder()
    assert (report.created, report.updated, report.unchanged) == (0, 1, 2)
    assert "second" in case.vault.get(shared.id).content
    assert "second" in said(access)


@pytest.mark.parametrize("automatic", [False, True])
def test_an_imported_memory_that_an_app_changed_is_imported_once(
    world: World, tmp_path: Path, *, automatic: bool
) -> None:
    """An honest app's changes stand until the file itself changes; nothing comes twice."""
    case = Case(world, tmp_path, automatic=automatic)
    todo = case.current("milk")
    grant_id, access = world.granted(
        case.owner, world.app("Two"), memories={todo.id}, auto_accept=automatic
    )
    for text in ("buy bread", "buy bread and milk"):  # the second before the owner's device looks
        access.update(todo.id, content=text)
    case.accept()
    found = case.vault.get(todo.id)
    assert found.content == "buy bread and milk"
    assert found.provenance["written_by"] == case.vault.grant(grant_id).app.app_id
    report = case.import_folder()
    assert (report.created, report.updated, report.unchanged) == (0, 0, 1)
    case.vault.update(todo.id, title="What to buy")
    assert case.import_folder().unchanged == 1
    case.write("todo.md", "# Todo\n\nbuy cheese\n")
    assert case.import_folder().updated == 1
    assert "cheese" in case.vault.get(todo.id).content
    assert "cheese" in said(access)


@pytest.mark.attack(39)
def test_the_marks_of_an_app_s_version_are_carried_on_to_none(world: World, tmp_path: Path) -> None:
    """What an app wrote, and changed again, brings no marks into the owner's versions."""
    case = Case(world, tmp_path)
    case.write("diary.md", DIARY)
    made = create(case, case.mark("diary.md"))
    case.accept()
    case.access.update(made, content="once more")
    case.accept()
    case.import_folder()
    assert case.current("4711").id != made
    assert "4711" not in said(case.access)


@pytest.mark.attack(39)
def test_an_app_takes_no_place_in_an_export_that_comes_in(world: World, tmp_path: Path) -> None:
    """A memory that an app made under an id of another vault is not what that one's export says."""
    first, case = world.owner().vault, Case(world, tmp_path, automatic=True)
    secret = first.remember(DIARY)
    case.access.remember("harmless", tags=TAGS, memory_id=secret.id)
    case.accept()
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join(first.export()))
    for report in (case.vault.import_paths([path]), case.vault.import_paths([path])):
        assert report.updated == 0
    assert "4711" not in said(case.access)
    assert case.current("4711").id != secret.id
    path.write_bytes(b"".join(case.vault.export()))
    third = world.owner().vault
    assert third.import_paths([path]).updated == 0
    everything = sorted(memory.content for memory in case.vault.list())
    assert sorted(memory.content for memory in third.list()) == everything


@pytest.mark.attack(39)
def test_what_an_app_claims_is_in_no_export(world: World, tmp_path: Path) -> None:
    """The line of a memory by an app has the memory's own key, and comes back as it is."""
    case = Case(world, tmp_path)
    memory_id = create(case, {**case.mark("todo.md"), "mood": "good"})
    case.accept()
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join(case.vault.export()))
    lines: dict[str, Any] = {line.id: line for line in read_export(path)}  # type: ignore[union-attr]
    assert lines[memory_id].key == f"coffret:{case.vault.status().account_id}/{memory_id}"
    assert lines[memory_id].provenance == {"mood": "good"}
    assert case.vault.import_paths([path]).created == 0
    assert case.vault.get(memory_id).version == 1
