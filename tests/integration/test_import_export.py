"""A whole corpus in, out, and into another vault."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.ingest import ImportSkipped, read_export, read_source
from coffret_vault.search import MiniLmEmbedder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coffret import ImportReport, Memory, Vault
    from coffret_vault.ingest import Draft
    from harness.world import World

CORPUS = Path(__file__).parents[2] / "demo" / "corpus"


def _corpus() -> Iterator[Draft | ImportSkipped]:
    for part in ("journal", "notes", "chats.json"):
        yield from read_source(CORPUS / part)


def test_the_demonstration_s_corpus_imports_once(either: World) -> None:
    """The corpus is imported whole and without a loss; a second import changes nothing."""
    vault = either.owner().vault
    drafts = [item for item in _corpus() if not isinstance(item, ImportSkipped)]
    report = vault.import_drafts(_corpus())
    assert report.created == len({draft.key for draft in drafts}) > 200
    assert report.skipped == ()
    again = vault.import_drafts(_corpus())
    assert (again.created, again.updated, again.unchanged) == (0, 0, len(drafts))
    assert {memory.content for memory in vault.list()} == {draft.content for draft in drafts}


def test_a_changed_source_becomes_new_versions(either: World, tmp_path: Path) -> None:
    """A file that was edited updates its memory, and leaves the others as they were."""
    vault = either.owner().vault
    (tmp_path / "one.md").write_text("# One\n\nFirst text.\n")
    (tmp_path / "two.md").write_text("# Two\n\nSecond text.\n")
    assert vault.import_drafts(read_source(tmp_path)).created == 2
    (tmp_path / "one.md").write_text("# One\n\nFirst text, edited.\n")
    report = vault.import_drafts(read_source(tmp_path))
    assert (report.created, report.updated, report.unchanged) == (0, 1, 1)
    assert sorted(memory.version for memory in vault.list()) == [1, 2]


def test_an_export_goes_into_another_vault(either: World, tmp_path: Path) -> None:
    """What one vault exports another imports: every field that a draft has, times included."""
    first, second = either.owner().vault, either.owner().vault
    first.remember(
        "content",
        title="Title",
        summary="Sum",
        type="goal",
        tags=["b", "a"],
        importance=0.5,
        confidence=0.25,
        source="s",
        labels={"u": "ana"},
        metadata={"n": [1, None, {"x": True}]},
    )
    first.remember("second")
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join(first.export()))
    report = second.import_drafts(read_export(path))
    assert (report.created, report.skipped) == (2, ())

    def plain(vault: object) -> list[tuple[object, ...]]:
        return sorted(
            (
                memory.content, memory.title, memory.summary, memory.type, memory.tags,
                memory.importance, memory.confidence, memory.source, str(memory.labels),
                str(memory.metadata), memory.created,
            )
            for memory in vault.list()  # type: ignore[attr-defined]
        )  # fmt: skip

    assert plain(second) == plain(first)
    assert second.import_drafts(read_export(path)).unchanged == 2


def test_the_built_in_model_finds_by_meaning(world: World) -> None:
    """With the real model a question finds a memory with which it has no word in common."""
    world.embedder = MiniLmEmbedder
    owner, app = world.owner(), world.app()
    wanted = owner.vault.remember("Our cat had four kittens under the stairs.", tags=["pets"])
    owner.vault.remember("The invoice for the roof repair is due on Friday.", tags=["house"])
    owner.vault.remember("Sourdough needs a night in the fridge.", tags=["kitchen"])
    question = "new baby animals at home"
    best = owner.vault.search(question, mode="semantic", limit=1)[0]
    assert best.memory.id == wanted.id
    assert best.why == ("semantic",)
    _, access = world.granted(owner, app, tags=["pets", "house"])
    assert access.search(question, limit=1)[0].memory.id == wanted.id


def test_an_export_goes_on_while_the_vault_is_written_to(either: World) -> None:
    """What is written, changed or forgotten between two lines stops nothing of the rest."""
    vault = either.owner().vault
    memories = [vault.remember(f"memory {number}") for number in range(40)]
    lines = vault.export()
    next(lines)
    next(lines)
    changed, gone = memories[20], memories[30]
    vault.update(changed.id, content="changed")
    vault.forget(gone.id)
    vault.remember("new")
    rest = b"".join(lines).decode()
    assert all(f'"memory {number}"' in rest for number in range(1, 40) if number not in {20, 30})
    assert '"changed"' in rest or '"memory 20"' in rest


def test_an_older_export_undoes_nothing(either: World, tmp_path: Path) -> None:
    """What was changed after an export stays, and is told of; what was lost since comes back."""
    vault = either.owner().vault
    edited, lost, same = (vault.remember(text) for text in ("first", "lost", "same"))
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join(vault.export()))
    vault.update(edited.id, content="second")
    vault.forget(lost.id)
    report = vault.import_paths([path])
    assert (report.created, report.updated, report.unchanged) == (1, 0, 1)
    assert report.skipped == (ImportSkipped(edited.id, "the vault has a later version of it"),)
    assert {memory.content for memory in vault.list()} == {"second", "lost", "same"}
    assert vault.get(same.id).version == 1


def test_a_vaults_own_export_changes_nothing_of_it(either: World, tmp_path: Path) -> None:
    """What was imported and changed by hand stays so, for its folder and for who undoes it."""
    vault = either.owner().vault
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in ("same", "edited"):
        (notes / f"{name}.md").write_text(f"# {name}\n\nwords of a file\n")
    vault.import_paths([notes])
    (edited,) = (memory for memory in vault.list() if memory.title == "edited")
    vault.update(edited.id, content="by hand")
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join(vault.export()))
    report = vault.import_paths([path])
    assert (report.created, report.updated, report.unchanged) == (0, 0, 2)
    assert vault.import_paths([notes]).updated == 0
    assert (vault.get(edited.id).content, vault.get(edited.id).version) == ("by hand", 2)
    assert [item.id for item in vault.undo_import(notes).kept] == [edited.id]


def test_a_change_by_hand_that_an_export_brings_back_is_one(either: World, tmp_path: Path) -> None:
    """Where a server lost it, it is there again, and stays at the folder's import and undoing."""
    vault = either.owner().vault
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("# a\n\nwords of a file\n")
    vault.import_paths([notes])
    (memory,) = vault.list()
    vault.update(memory.id, content="by hand")
    exported = [json.loads(line) for line in vault.export()]
    vault.update(memory.id, content=memory.content)  # what a server has that lost the change
    exported[1]["updated"] += 10**12
    path = tmp_path / "export.jsonl"
    path.write_text("\n".join(map(json.dumps, exported)))
    assert vault.import_paths([path]).updated == 1
    assert vault.import_paths([path]).unchanged == 1
    assert vault.import_paths([notes]).unchanged == 1
    assert [item.id for item in vault.undo_import(notes).kept] == [memory.id]
    assert vault.get(memory.id).content == "by hand"


def _brought(vault: Vault, other: Vault, folder: Path) -> ImportReport:
    """What comes of the export of one vault in another one."""
    path = folder / "export.jsonl"
    path.write_bytes(b"".join(vault.export()))
    return other.import_paths([path])


def test_a_change_by_hand_is_one_in_a_vault_that_an_export_brings_it_to(
    either: World, tmp_path: Path
) -> None:
    """Its folder does not take it back where a vault was lost, until the file itself is changed."""
    vault, other = either.owner().vault, either.owner().vault
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("# a\n\nwords of a file\n")
    vault.import_paths([notes])
    vault.update(vault.list()[0].id, content="by hand")
    assert _brought(vault, other, tmp_path).created == 1
    (memory,) = other.list()
    for _ in range(2):
        assert other.import_paths([notes]).unchanged == 1
        assert _brought(vault, other, tmp_path).unchanged == 1
    other.update(memory.id, content="by another hand")
    assert _brought(vault, other, tmp_path).unchanged == 1
    third = either.owner().vault
    assert _brought(other, third, tmp_path).created == 1
    assert third.import_paths([notes]).unchanged == 1
    vault.update(vault.list()[0].id, content="words of a file")
    assert _brought(vault, other, tmp_path).updated == 1  # a later word of the same vault
    assert other.get(memory.id).content == "words of a file"
    (notes / "a.md").write_text("# a\n\nother words of a file\n")
    assert third.import_paths([notes]).updated == 1
    assert "other words" in third.list()[0].content


def test_a_file_s_word_keeps_no_source_from_what_is_there(either: World, tmp_path: Path) -> None:
    """Only what an export creates is what it says it was; what it changes is its folder's again."""
    vault, other = either.owner().vault, either.owner().vault
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("# a\n\nwords of a file\n")
    vault.import_paths([notes])
    other.import_paths([notes])
    vault.update(vault.list()[0].id, content="by hand")
    assert _brought(vault, other, tmp_path).updated == 1
    assert other.list()[0].content == "by hand"
    assert other.import_paths([notes]).updated == 1
    assert "words of a file" in other.list()[0].content


@pytest.mark.parametrize("yes", [True, False])
def test_what_an_export_would_change_is_asked_for_first(
    either: World, tmp_path: Path, *, yes: bool
) -> None:
    """Before anything is written; what is not to be changed stays, and the rest comes in."""
    vault, other, asked = either.owner().vault, either.owner().vault, list[str]()
    vault.remember("first")
    _brought(vault, other, tmp_path)
    vault.update(vault.list()[0].id, content="changed")
    vault.remember("new")

    def consent(there: Sequence[Memory]) -> bool:
        asked.extend(memory.content for memory in there)
        return yes

    path = tmp_path / "export.jsonl"
    path.write_bytes(b"".join(vault.export()))
    report = other.import_paths([path], consent=consent)
    assert asked == ["first"]
    assert (report.created, report.updated, report.unchanged) == (1, int(yes), 0)
    assert len(report.skipped) == 1 - yes
    stands = "changed" if yes else "first"
    assert {memory.content for memory in other.list()} == {stands, "new"}
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# a\n\nwords\n")
    for words in ("words", "other words"):  # a folder's own change is no question
        (tmp_path / "notes" / "a.md").write_text(f"# a\n\n{words}\n")
        other.import_paths([tmp_path / "notes"], consent=consent)
    assert asked == ["first"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("valid_until", datetime(2030, 1, 1, tzinfo=UTC)),
        ("valid_from", datetime(2020, 1, 1, tzinfo=UTC)),
        ("source", "a book"),
        ("sealed", True),
    ],
)
def test_an_export_brings_back_more_than_the_words(
    either: World, tmp_path: Path, name: str, said: Any
) -> None:
    """What an import wrote and was changed by hand since comes back, whatever of it that was."""
    vault = either.owner().vault
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("# a\n\nwords of a file\n")
    vault.import_paths([notes])
    (memory,) = vault.list()
    path = _lost(vault, memory, tmp_path, name, said)
    assert vault.import_paths([path]).updated == 1
    assert getattr(vault.get(memory.id), name) == said
    assert vault.import_paths([path]).unchanged == 1


@pytest.mark.parametrize("name", ["valid_from", "valid_until"])
def test_an_export_brings_back_when_a_memory_is_true(
    either: World, tmp_path: Path, name: str
) -> None:
    """That counts as a change of what no import wrote, too."""
    vault, said = either.owner().vault, datetime(2030, 1, 1, tzinfo=UTC)
    memory = vault.remember("words")
    path = _lost(vault, memory, tmp_path, name, said)
    assert vault.import_paths([path]).updated == 1
    assert getattr(vault.get(memory.id), name) == said
    assert vault.import_paths([path]).unchanged == 1


def test_an_export_brings_back_a_source(either: World, tmp_path: Path) -> None:
    """Of what no import wrote as well; an older export takes none away that was said since."""
    vault = either.owner().vault
    memory = vault.remember("words")
    path = _lost(vault, memory, tmp_path, "source", "a book")
    assert vault.import_paths([path]).updated == 1
    assert vault.get(memory.id).source == "a book"
    assert vault.import_paths([path]).unchanged == 1
    exported = [json.loads(line) for line in path.read_text().splitlines()]
    exported[1] |= {"source": "another book", "updated": 1}
    path.write_text("\n".join(map(json.dumps, exported)))
    vault.import_paths([path])
    assert vault.get(memory.id).source == "a book"


def _lost(vault: Vault, memory: Memory, folder: Path, name: str, said: Any) -> Path:
    """The export of a vault that has one memory, of which a server lost a change by hand since."""
    changed, before = {name: said}, {name: getattr(memory, name)}
    vault.update(memory.id, **changed)
    exported = [json.loads(line) for line in vault.export()]
    vault.update(memory.id, **before)
    exported[1]["updated"] += 10**12
    path = folder / "export.jsonl"
    path.write_text("\n".join(map(json.dumps, exported)))
    return path


def test_a_later_export_of_a_vault_updates_another(either: World, tmp_path: Path) -> None:
    """Where an export came from moves on, and what was taken in elsewhere follows it."""
    first, second = either.owner().vault, either.owner().vault
    memory = first.remember("first")
    path = tmp_path / "export.jsonl"
    for text in ("second", "third"):
        path.write_bytes(b"".join(first.export()))
        first.update(memory.id, content=text)
        second.import_paths([path])
    path.write_bytes(b"".join(first.export()))
    assert second.import_paths([path]).updated == 1
    assert [found.content for found in second.list()] == ["third"]


def test_items_of_one_id_and_other_words_are_named(either: World, tmp_path: Path) -> None:
    """The last is kept, and what it took the place of is said; one that says the same is not."""
    vault = either.owner().vault
    path = tmp_path / "listed.json"
    items = [{"id": "a", "memory": text} for text in ("first words", "last words", "last words")]
    path.write_text(json.dumps({"memories": [*items, {"id": "b", "memory": "another"}]}))
    report = vault.import_drafts(read_source(path))
    assert [(item.source, "took its place" in item.reason) for item in report.skipped] == [
        ("supermemory:a", True)
    ]
    assert (report.created, report.updated, report.unchanged) == (2, 0, 1)
    assert {memory.content for memory in vault.list()} == {"last words", "another"}
    again = vault.import_drafts(read_source(path))
    assert (again.created, again.updated, again.unchanged) == (0, 0, 3)
    assert len(again.skipped) == 1
