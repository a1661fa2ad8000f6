"""The demonstration corpus is whole and imports cleanly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coffret_vault.ingest import Draft, ImportSkipped, read_source

CORPUS = Path(__file__).parents[3] / "demo" / "corpus"
PARTS = ("journal", "notes", "chats.json")


@pytest.fixture(scope="module")
def items() -> list[Draft | ImportSkipped]:
    """The corpus, imported."""
    return [item for part in PARTS for item in read_source(CORPUS / part)]


def drafts(items: list[Draft | ImportSkipped]) -> list[Draft]:
    """What was imported."""
    return [item for item in items if isinstance(item, Draft)]


def test_the_corpus_imports_without_loss(items: list[Draft | ImportSkipped]) -> None:
    """Several hundred memories, none skipped, every key of its own, every one dated or noted."""
    found = drafts(items)
    assert found == items
    assert len(found) >= 350
    assert len({draft.key for draft in found}) == len(found)
    assert all(draft.created or draft.updated for draft in found)


def test_the_corpus_has_what_the_demonstration_needs(items: list[Draft | ImportSkipped]) -> None:
    """Enough memories carry the tag that the demonstration's app asks for, and none is a copy."""
    found = drafts(items)
    assert sum("travel" in draft.tags for draft in found) >= 40
    assert len({draft.content for draft in found}) == len(found)
    types = {draft.type for draft in found}
    assert types >= {"preference", "fact", "experience", "goal", "relationship", "procedural"}


def test_no_title_repeats_a_sentence_of_its_memory(items: list[Draft | ImportSkipped]) -> None:
    """What the server reads as titles was written as titles."""
    for draft in drafts(items):
        prose = [line for line in draft.content.split("\n") if not line.startswith("#")]
        assert not any(line.startswith(draft.title + " ") for line in prose if draft.title)


def test_the_questions_name_sources_that_exist(items: list[Draft | ImportSkipped]) -> None:
    """Each question has at least one source, and each source was imported."""
    sources = {draft.source for draft in drafts(items)}
    questions = json.loads((CORPUS / "questions.json").read_text(encoding="utf-8"))["questions"]
    assert len(questions) == 30
    assert all(entry["sources"] and sources.issuperset(entry["sources"]) for entry in questions)
