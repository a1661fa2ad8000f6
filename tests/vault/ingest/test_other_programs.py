"""Exports of the MCP memory server, Supermemory and Gemini become memories."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from coffret_vault.ingest import Draft, ImportSkipped, Limits, SourceEmptyError, read_source
from coffret_vault.ingest.archives import NOT_TAKEN
from coffret_vault.ingest.errors import SourceDamagedError
from coffret_vault.ingest.gemini import NOT_ASKED
from coffret_vault.ingest.html_text import text_of
from coffret_vault.ingest.supermemory import FORGOTTEN, PAGES, REPLACED

if TYPE_CHECKING:
    from pathlib import Path

    from coffret_vault.ingest import Imported

ANA = {"type": "entity", "name": "Ana", "entityType": "Person", "observations": ["Likes figs"]}
LIVES = {"type": "relation", "from": "Ana", "to": "Porto", "relationType": "lives in"}


def _read(path: Path, whole: object) -> list[Imported]:
    path.write_text(whole if isinstance(whole, str) else json.dumps(whole), encoding="utf-8")
    return list(read_source(path))


def _lines(*items: object) -> str:
    return "".join(f"{json.dumps(item)}\n" for item in items)


# -- the MCP memory server ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["memory.jsonl", "memory.json"])
def test_an_entity_is_a_memory_with_its_relations(tmp_path: Path, name: str) -> None:
    """Observations said twice are kept once, and an entity that is only related to is one too."""
    more = {"type": "entity", "name": "Ana", "observations": ["Likes figs", "Sings"]}
    of_porto = {"type": "relation", "from": "Porto", "to": "Ana", "relationType": "is home of"}
    ana, porto = _read(tmp_path / name, _lines(ANA, more, LIVES, of_porto))
    assert isinstance(ana, Draft)
    assert isinstance(porto, Draft)
    assert ana.content == "Ana (person)\n- Likes figs\n- Sings\n- Ana lives in Porto"
    assert (ana.title, ana.type, ana.key, ana.tags) == ("Ana", "person", "mcp-memory:Ana", ())
    assert porto.content == "Porto\n- Porto is home of Ana"


def test_a_graph_is_read_from_its_lines_and_from_an_answer_alike(tmp_path: Path) -> None:
    """What ``read_graph`` answers gives the drafts that the server's own file gives."""
    lines = _read(tmp_path / "memory.jsonl", _lines(ANA, LIVES))
    whole = _read(tmp_path / "graph.json", {"entities": [ANA], "relations": [LIVES]})
    assert lines == whole


def test_a_later_graph_changes_a_memory_and_makes_no_second(tmp_path: Path) -> None:
    """An entity has one key, whatever is said of it."""
    (before,) = _read(tmp_path / "memory.jsonl", _lines(ANA))
    (after,) = _read(tmp_path / "memory.jsonl", _lines(ANA | {"observations": ["Hates figs"]}))
    assert isinstance(before, Draft)
    assert isinstance(after, Draft)
    assert before.key == after.key
    assert before.digest != after.digest


def test_lines_that_are_no_part_of_a_graph_are_named(tmp_path: Path) -> None:
    """A damaged or unknown line costs itself, and one that holds too much is refused."""
    path = tmp_path / "memory.jsonl"
    odd: list[object] = [{"type": "other"}, {"type": "entity"}, {"type": "relation", "from": "x"}]
    kept, *refused = _read(path, _lines(ANA, *odd) + "{\n")
    assert isinstance(kept, Draft)
    assert [item.source for item in refused] == [f"memory.jsonl, line {at}" for at in range(2, 6)]
    large = next(read_source(path, limits=Limits(max_content_bytes=10)))
    assert isinstance(large, ImportSkipped)
    with pytest.raises(SourceEmptyError):
        _read(tmp_path / "graph.json", {"entities": []})


# -- Supermemory ----------------------------------------------------------------------------------


def test_a_document_and_what_was_made_of_it_are_memories(tmp_path: Path) -> None:
    """Content, times, metadata and containers are kept; containers are no tags."""
    item = {
        "id": "d1", "title": "Figs", "content": "Ana likes figs.", "summary": "Likes figs.",
        "containerTags": ["ana", "food"], "metadata": {"mood": "good"}, "url": "https://a.example",
        "createdAt": "2024-05-02T10:00:00Z", "updatedAt": "2024-05-03T10:00:00Z",
        "memoryEntries": [{"id": "m1", "memory": "Figs are liked."}, {"memory": "no id"}],
    }  # fmt: skip
    document, entry, damaged = _read(tmp_path / "a.json", {"documents": [item]})
    assert isinstance(document, Draft)
    assert isinstance(entry, Draft)
    assert isinstance(damaged, ImportSkipped)
    assert (document.key, document.title, document.content, document.summary, document.tags) == (
        "supermemory:d1", "Figs", "Ana likes figs.", "Likes figs.", ()
    )  # fmt: skip
    assert document.labels == entry.labels == {"user": "ana"}
    more = {"url": "https://a.example", "containerTags": "ana, food"}
    assert document.metadata == {"mood": "good", **more}
    assert document.created is not None
    assert document.updated == document.created + 86_400_000_000
    assert (entry.key, entry.content) == ("supermemory:m1", "Figs are liked.")


def test_what_was_forgotten_or_replaced_is_left_out_and_named(tmp_path: Path) -> None:
    """Only what is remembered there now comes here, and further pages are asked for."""
    items = [
        {"id": "1", "memory": "Old", "isLatest": False},
        {"id": "2", "memory": "Gone", "isForgotten": True},
        {"id": "3", "memory": "There", "isLatest": True},
        {"id": "4"},
        5,
    ]
    page = {"currentPage": 1, "totalPages": 2}
    found = _read(tmp_path / "a.json", {"memoryEntries": items, "pagination": page})
    assert [item.content for item in found if isinstance(item, Draft)] == ["There"]
    reasons = [item.reason for item in found if isinstance(item, ImportSkipped)]
    assert reasons[:2] + reasons[-1:] == [REPLACED, FORGOTTEN, PAGES]
    assert len(reasons) == 5
    with pytest.raises(SourceEmptyError):
        _read(tmp_path / "a.json", {"memories": []})


# -- Gemini ---------------------------------------------------------------------------------------


def _asked(title: str, html: str = "", **more: object) -> dict[str, object]:
    answer = {"safeHtmlItem": [{"html": html}]} if html else {}
    time = "2024-05-02T10:00:00.123Z"
    gemini = {"header": "Gemini Apps", "products": ["Gemini Apps"], "time": time}
    return {**gemini, "title": title, **answer, **more}


def test_a_question_with_its_answer_is_a_memory(tmp_path: Path) -> None:
    """The answer's HTML is text, the word before an English question goes, the title is neutral."""
    whole = [_asked("Prompted\u00a0Where do figs grow?", "<p>In <b>Porto</b> &amp; Faro.</p>")]
    (found,) = _read(tmp_path / "MyActivity.json", whole)
    assert isinstance(found, Draft)
    assert found.content == "Me: Where do figs grow?\n\nGemini: In **Porto** & Faro."
    assert found.title == "Conversation with Gemini, 2024-05-02"
    assert found.created is not None


@pytest.mark.parametrize("title", ["Demandé : was I Asked out?", "Prompted Was I Asked out?"])
def test_only_the_word_before_a_question_goes(tmp_path: Path, title: str) -> None:
    """The same word further on is the person's, in whatever language the account is."""
    (found,) = _read(tmp_path / "MyActivity.json", [_asked(title, "<p>No</p>")])
    assert isinstance(found, Draft)
    assert found.content == f"Me: {title.removeprefix('Prompted ')}\n\nGemini: No"


def test_activities_that_are_no_questions_are_named(tmp_path: Path) -> None:
    """Other products, feedback and damage cost themselves; a question may be unanswered."""
    whole = [
        _asked("Watched figs", header="YouTube", products=["YouTube"]),
        _asked("Gave feedback: good response"),
        _asked("Prompted unanswered"),
        _asked("Demandé : des figues ?", "<p>Oui</p>"),
        5,
    ]
    found = _read(tmp_path / "MyActivity.json", whole)
    assert [item.content for item in found if isinstance(item, Draft)] == [
        "Me: unanswered",
        "Me: Demandé : des figues ?\n\nGemini: Oui",
    ]
    assert [item.reason for item in found if isinstance(item, ImportSkipped)][:2] == [NOT_ASKED] * 2
    with pytest.raises(SourceEmptyError):
        _read(tmp_path / "MyActivity.json", whole[:2])


def test_a_takeout_is_read_in_its_archive(tmp_path: Path) -> None:
    """Of a Takeout as it is downloaded, Gemini's file is read and others are named."""
    path, place = tmp_path / "takeout.zip", "Takeout/My Activity"
    other = _asked("Watched", header="YouTube", products=["YouTube"])
    with ZipFile(path, "w") as archive:
        for product, activities in (("Gemini", [_asked("Prompted x")]), ("YouTube", [other] * 9)):
            archive.writestr(f"{place}/{product}/MyActivity.json", json.dumps(activities))
        archive.writestr("Takeout/archive_browser.html", "<html>")
    found = list(read_source(path))
    assert [item.content for item in found if isinstance(item, Draft)] == ["Me: x"]
    left = [item.reason for item in found if isinstance(item, ImportSkipped)]
    assert left == ["nothing in it was asked of Gemini", NOT_TAKEN]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<h2>Figs</h2><p>a</p><p>b</p>", "## Figs\n\na\n\nb"),
        ("<ul><li>a</li><li>b  c</li></ul>", "- a\n- b c"),
        ("x<br>y<script>alert(1)</script>z", "x\nyz"),
        ("<pre><code>if a:\n    b</code></pre>", "```\nif a:\n    b\n```"),
        ("<pre>a<br>b</pre>", "```\na\nb\n```"),
        ("run <code>ls</code>", "run `ls`"),
        ("1 &lt; 2 &bogus; &#x66; 3 < 4", "1 < 2 &bogus; f 3 < 4"),
        ("<a href='x'>link</a><!-- no -->", "link"),
    ],
)
def test_html_is_read_as_a_person_reads_it(source: str, text: str) -> None:
    """Paragraphs, lists, headings and code are Markdown, and nothing that is unseen is kept."""
    assert text_of(source, 1_000) == text


@pytest.mark.parametrize("piece", ["<", "<a", "<!--", "&", "&#9", "<p>", "</", "<script>", " \n"])
def test_html_takes_one_pass_whatever_is_in_it(piece: str) -> None:
    """A megabyte of beginnings that never end is read in a moment."""
    begun = time.perf_counter()
    text_of(piece * (1_000_000 // len(piece)), 1_000_000)
    assert time.perf_counter() - begun < 10
    with pytest.raises(SourceDamagedError, match="longer"):
        text_of("x" * 11, 10)
