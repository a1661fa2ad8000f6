"""An import is taken back: all that it created, nothing else, nothing that was changed since."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret import Fields
from coffret.errors import InputError, NetworkError, NotFoundError
from coffret.importing import written_digest
from coffret_vault.ingest import Draft, read_export

if TYPE_CHECKING:
    from pathlib import Path

    from coffret import Vault
    from harness.world import World


def folder(parent: Path, **files: str) -> Path:
    """A folder called ``notes`` in another folder, with these files."""
    place = parent / "notes"
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / f"{name}.md").write_text(text)
    return place


def texts(vault: Vault) -> set[str]:
    """What the vault holds."""
    return {memory.content for memory in vault.list()}


def id_of(vault: Vault, content: str) -> str:
    """The id of the memory that says this."""
    return next(memory.id for memory in vault.list() if memory.content == content)


def test_what_an_import_created_is_deleted_and_nothing_else(either: World, tmp_path: Path) -> None:
    """By its id: not what was there, nor what another import created under the same name."""
    owner = either.owner()
    vault = owner.vault
    vault.remember("by hand")
    place = folder(tmp_path, one="first")
    first = vault.import_paths([place])
    folder(tmp_path, two="second", one="first changed")
    second = vault.import_paths([place])
    assert (second.created, second.updated) == (1, 1)
    assert [(item.id, item.memories, item.changed, item.sources) for item in vault.imports()] == [
        (first.id, 1, 0, ("notes",)),
        (second.id, 1, 0, ("notes",)),
    ]
    assert datetime.now(UTC) - vault.imports()[0].at < timedelta(minutes=5)
    undone = vault.undo_import(second.id)
    assert [gone.source for gone in undone.deleted] == ["notes/two.md"]
    assert undone.kept == ()
    assert texts(vault) == {"by hand", "first changed"}
    other = either.device(owner)
    assert [item.id for item in other.imports()] == [first.id]
    assert len(other.undo_import(first.id).deleted) == 1
    vault.sync()
    assert texts(vault) == texts(other) == {"by hand"}
    with pytest.raises(NotFoundError):
        vault.undo_import(first.id)
    assert vault.import_paths([place]).created == 2


def test_a_folder_is_taken_back_whole(either: World, tmp_path: Path) -> None:
    """By its place or its name, all imports of it; a folder whose name begins alike stays."""
    vault = either.owner().vault
    place = folder(tmp_path / "a", one="one of a")
    vault.import_paths([place])
    folder(tmp_path / "a", two="two of a")
    vault.import_paths([place])
    other = folder(tmp_path / "b", one="one of b", two="two of b")
    vault.import_paths([other])
    assert len(vault.undo_import(other / "two.md").deleted) == 1
    assert texts(vault) == {"one of a", "two of a", "one of b"}
    assert len(vault.undo_import(other).deleted) == 1
    assert texts(vault) == {"one of a", "two of a"}
    vault.import_paths([other])
    assert len(vault.undo_import("notes").deleted) == 2
    assert texts(vault) == {"one of b", "two of b"}
    assert len(vault.undo_import("markdown").deleted) == 2
    assert texts(vault) == set()


def test_a_name_that_is_a_place_of_another_is_asked_about(
    either: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is called notes here, and the folder notes beside us, are two: neither is guessed."""
    vault = either.owner().vault
    vault.import_paths([folder(tmp_path / "a", one="one of a")])
    vault.import_paths([folder(tmp_path / "b", one="one of b")])
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(InputError, match=r"notes \(2\)"):
        vault.undo_import("notes")
    assert len(texts(vault)) == 2
    assert len(vault.undo_import("notes (2)").deleted) == 1
    assert texts(vault) == {"one of a"}


CHANGES: list[dict[str, Any]] = [
    {"content": "other"},
    {"title": "Other"},
    {"summary": "other"},
    {"type": "fact"},
    {"tags": ["other"]},
    {"importance": 0.25},
    {"confidence": 0.5},
    {"source": "other"},
    {"labels": {"user": "other"}},
    {"metadata": {"other": 1}},
    {"valid_from": datetime(2020, 1, 1, tzinfo=UTC)},
    {"valid_until": datetime(2020, 1, 1, tzinfo=UTC)},
]


def test_what_was_changed_by_hand_is_named_and_kept(either: World, tmp_path: Path) -> None:
    """Whatever a person may say of a memory: one change keeps it, unless all is to go."""
    vault = either.owner().vault
    files = {f"file{n}": f"text {n}" for n in range(len(CHANGES))}
    report = vault.import_paths([folder(tmp_path, same="unchanged", **files)])
    changed = set()
    for number, change in enumerate(CHANGES):
        changed.add(vault.update(id_of(vault, f"text {number}"), **change).id)
    assert vault.imports()[0].changed == len(CHANGES)
    plan = vault.undo_import(report.id, dry_run=True)
    assert len(texts(vault)) == len(CHANGES) + 1
    assert vault.undo_import(report.id) == plan
    assert {gone.id for gone in plan.kept} == changed
    assert {memory.id for memory in vault.list()} == changed
    assert {gone.id for gone in vault.undo_import(report.id, changed=True).deleted} == changed
    assert texts(vault) == set()


def test_what_only_the_machine_rewrote_is_not_changed(either: World, tmp_path: Path) -> None:
    """Sealed titles, fresh keys after a grant, and a later import are nobody's hand."""
    owner = either.owner()
    vault = owner.vault
    place = folder(tmp_path, one="# É\n\nfirst", two="#tag #atag second\n")
    report = vault.import_paths([place])
    vault.set_settings(sealed=True)
    assert vault.seal_existing() == 2
    grant_id, _ = either.granted(owner, either.app())
    vault.revoke(grant_id)
    assert vault.rotate() == 2
    folder(tmp_path, one="# É\n\nfirst changed")
    assert vault.import_paths([place]).updated == 1
    assert vault.imports()[0].changed == 0
    assert len(vault.undo_import(report.id).deleted) == 2


def test_every_field_of_an_import_is_read_back_as_written(either: World) -> None:
    """Nothing counts as changed because it was stored: numbers, names and times of all kinds."""
    owner = either.owner()
    drafts = [
        Draft(
            key=f"mem0:{number}",
            source=f"mem0:{number}",
            content="text",
            title="E\u0301 ",
            tags=("b", "a", "e\u0301", "b"),
            importance=importance,
            confidence=0.1 + 0.2,
            labels={"z": "1", "a": "2"},
            metadata={"n": 2.0, "d": {"x": [1, None, "é"]}, "a": -(2**63)},
            created=created,
        )
        for number, (importance, created) in enumerate(
            [(1 / 3, None), (0.0, 0), (1.0, 253_402_300_799_999_999), (None, 1)]
        )
    ]
    report = owner.vault.import_drafts(drafts)
    for vault in (owner.vault, either.device(owner)):
        (found,) = vault.imports()
        assert (found.id, found.memories, found.changed) == (report.id, 4, 0)
        assert found.sources == ("mem0",)


def test_an_app_s_change_keeps_a_memory(either: World, tmp_path: Path) -> None:
    """While it waits it would be lost unseen, and when it was accepted it is a change."""
    owner = either.owner()
    vault = owner.vault
    report = vault.import_paths([folder(tmp_path, one="first", two="second")])
    _, access = either.granted(owner, either.app())
    access.update(id_of(vault, "first"), content="first by an app")
    vault.sync()
    assert vault.imports()[0].changed == 1
    assert [gone.source for gone in vault.undo_import(report.id).kept] == ["notes/one.md"]
    (waiting,) = vault.pending()
    vault.accept(waiting.memory_id)
    with pytest.raises(NotFoundError):
        vault.undo_import("chatgpt")
    assert [gone.source for gone in vault.undo_import(report.id).kept] == ["notes/one.md"]
    assert texts(vault) == {"first by an app"}


def test_an_app_marks_nothing_as_imported(either: World, tmp_path: Path) -> None:
    """What an app writes with an import's marks is not deleted with the import."""
    owner = either.owner()
    vault = owner.vault
    report = vault.import_paths([folder(tmp_path, one="first")])
    (marked,) = vault.list()
    _, access = either.granted(owner, either.app(), auto_accept=True)
    claimed = written_digest(Fields(content="by an app"))
    access.remember("by an app", provenance={**marked.provenance, "import_written": claimed})
    vault.sync()
    assert len(vault.undo_import(report.id).deleted) == 1
    assert texts(vault) == {"by an app"}


def test_a_file_brings_no_marks(either: World, tmp_path: Path) -> None:
    """What somebody wrote into an export makes no memory of the owner's one that an import made."""
    vault = either.owner().vault
    first = vault.import_paths([folder(tmp_path, one="first")])
    vault.remember("by hand")
    path = tmp_path / "export.jsonl"
    planted = {"import_run": first.id, "import_written": "0" * 32, "other": "stays"}
    lines = [json.loads(line) for line in b"".join(vault.export()).splitlines()]
    for line in lines:
        if line.get("content") == "by hand":
            line |= {"content": "by another hand", "updated": None, "provenance": planted}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = vault.import_drafts(read_export(path))
    assert report.created == 0
    (changed,) = (memory for memory in vault.list() if memory.content == "by another hand")
    assert "import_run" not in changed.provenance
    assert changed.provenance["other"] == "stays"
    assert len(vault.undo_import(first.id, changed=True).deleted) == 1
    assert texts(vault) == {"by another hand"}
    other = either.owner().vault
    second = other.import_drafts(read_export(path))
    assert [(item.id, item.memories) for item in other.imports()] == [(second.id, 2)]


def test_interrupted_it_goes_on_when_called_again(either: World, tmp_path: Path) -> None:
    """Whatever was deleted by then, the second call deletes the rest, and says how far it is."""
    vault = either.owner().vault
    report = vault.import_paths([folder(tmp_path, **{f"f{n}": f"text {n}" for n in range(7)})])
    told: list[tuple[str, int, int]] = []

    def stop(*progress: Any) -> None:
        told.append(progress)
        if len(told) == 2:
            raise NetworkError

    with patch("coffret.undoing.BATCH", 2):
        with pytest.raises(NetworkError):
            vault.undo_import(report.id, stop)
        assert len(texts(vault)) == 3
        undone = vault.undo_import(report.id, lambda *progress: told.append(progress))
    assert len(undone.deleted) == 3
    assert told == [
        ("deletions", 2, 7),
        ("deletions", 4, 7),
        ("deletions", 2, 3),
        ("deletions", 3, 3),
    ]
    assert texts(vault) == set()


def test_what_another_device_changes_meanwhile_is_kept(world: World, tmp_path: Path) -> None:
    """A change between the look and the deletion is not lost, and a deletion is no error."""
    owner = world.owner()
    vault, other = owner.vault, world.device(owner)
    files = {f"f{n}": f"text {n}" for n in range(4)}
    report = vault.import_paths([folder(tmp_path, **files)])
    changed: list[str] = []

    def meddle(*_: Any) -> None:
        if not changed:
            other.sync()
            rest = [memory.id for memory in other.list()]
            changed.append(other.update(rest[0], content="changed there").id)
            other.forget(rest[1])

    with patch("coffret.undoing.BATCH", 1):
        undone = vault.undo_import(report.id, meddle)
    assert len(undone.deleted) == 2
    assert [gone.id for gone in undone.kept] == changed
    assert texts(vault) == {"changed there"}


@pytest.mark.parametrize(
    "which", ["", " ", "nothing", "/", ".", "~nobody-here/a", "a\0", "0190b2f0-7a53-7a7b"]
)
def test_what_names_no_import_deletes_nothing(either: World, tmp_path: Path, which: str) -> None:
    """A blank, an unknown folder, and an id that is none are errors."""
    vault = either.owner().vault
    vault.import_paths([folder(tmp_path, one="first")])
    with pytest.raises((InputError, NotFoundError)):
        vault.undo_import(which)
    assert texts(vault) == {"first"}
