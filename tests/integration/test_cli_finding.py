"""Search and list on the command line, over a real server: what narrows them, and what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from cli_harness import new_name
from coffret_vault.search import MiniLmEmbedder

if TYPE_CHECKING:
    from pathlib import Path

    from cli_harness import Cli


@pytest.fixture
def owner(cli: Cli, url: str) -> Cli:
    """A person's command line with a vault."""
    cli.init(url, new_name("finding"))
    return cli


def test_search_finds_by_meaning_and_words_and_times_its_steps(owner: Cli) -> None:
    """Hits come with score, reasons, title, tags and snippet, and the steps with their times."""
    owner("remember", "We walked along the river in Lisbon", "--title", "Lisbon", "-t", "travel")
    owner("remember", "Green tea needs water of eighty degrees", "-t", "food")
    ran = owner("search", "a walk in Portugal", "--time")
    first = ran.out.splitlines()[0]
    assert "Lisbon" in first
    assert "meaning" in ran.out
    assert [line.split(":")[0] for line in ran.out.splitlines()[-3:]] == [
        "unlock",
        "index",
        "search",
    ]
    found = owner("search", "tea", "--tag", "food", "--mode", "words", "--time", "--json").data()
    assert [hit["why"] for hit in found["hits"]] == [["words"]]
    named = {"score", "why", "similarity", "coverage", "lexical", "words", "memory"}
    assert set(found["hits"][0]) == named
    assert set(found["seconds"]) == {"unlock", "index", "search"}
    assert owner("search", "tea", "--since", "2100-01-01", "--json").data() == {"hits": []}
    owner("search", " ", code=2)
    owner("search", "x", "--since", "soon", code=2)
    owner("search", "x", "--importance", "7", code=2)


def test_search_leaves_out_what_does_not_fit(owner: Cli) -> None:
    """Nothing is found where nothing fits; JSON has what each hit was measured by."""
    owner("remember", "We walked along the river in Lisbon")
    said = ("--min-similarity", "0.35", "--json")
    (hit,) = owner("search", "a stroll by the water in Portugal", *said).data()["hits"]
    assert hit["similarity"] >= 0.35
    assert hit["coverage"] == 0
    assert owner("search", "quantum chromodynamics").out
    ran = owner("search", "quantum chromodynamics", "--min-similarity", "0.35")
    assert (ran.out, ran.err) == ("", "Nothing was found.\n")
    for bad in ("1.5", "nan", "much"):
        owner("search", "x", "--min-similarity", bad, code=2)
    owner("search", "x", "--min-similarity", "0.5", "--mode", "words", code=2)


def test_what_notes_say_beside_narrows_and_is_shown(owner: Cli, tmp_path: Path) -> None:
    """A front matter's other lines are metadata: a list and a search keep to it, show has it."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("---\nmood: happy\nyear: 2024\npeople: [Mila, Bo]\n---\nsnow\n")
    (notes / "b.md").write_text("---\nmood: sad\n---\nsnow and rain\n")
    owner("import", str(notes))
    (listed,) = owner("list", "--metadata", "mood=happy", "--json").data()
    for said in ("mood=happy", "year=2024", "people=Bo"):
        assert owner("list", "--metadata", said, "--json").data() == [listed]
        (hit,) = owner("search", "snow", "--metadata", said, "--json").data()["hits"]
        assert listed["content"] == hit["memory"]["content"] == "snow"
    assert owner("search", "snow", "--metadata", "mood=wild", "--json").data() == {"hits": []}
    ran = owner("list", "--metadata", "mood", code=2)
    assert "metadata is written name=value" in ran.err
    shown = owner("show", listed["id"]).out
    assert 'Metadata:    mood=happy, year=2024, people=["Mila", "Bo"]\n' in shown


def test_what_is_no_longer_true_is_left_out(owner: Cli) -> None:
    """A list and a search keep to what is valid on a day; one thing ends where another begins."""
    owner("remember", "the old flat", "--valid-until", "2030-01-01")
    owner("remember", "the new flat", "--valid-from", "2030-01-01")
    for day, there in (("2029-12-31", "the old flat"), ("2030-01-01", "the new flat")):
        assert [item["content"] for item in owner("list", "--valid-on", day, "--json").data()] == [
            there
        ]
        hits = owner("search", "flat", "--valid-on", day, "--json").data()["hits"]
        assert [hit["memory"]["content"] for hit in hits] == [there]
        assert owner("list", "--valid-on", day, "--count").out == "1\n"
    assert "day or time is written" in owner("list", "--valid-on", "soon", code=2).err


def test_a_list_says_that_there_are_more(owner: Cli) -> None:
    """What is cut at the limit is no secret, neither to a person nor to a program."""
    for text in ("one", "two", "three"):
        owner("remember", text)
    remark = "These are 2 of 3; --limit 3 shows all.\n"
    for more in ((), ("--json",)):
        ran = owner("list", "--limit", "2", *more)
        assert ran.err == remark
        assert "one" not in ran.out
        assert not owner("list", "--limit", "3", *more).err


def test_search_keeps_to_labels(owner: Cli) -> None:
    """Whose a memory is, of which agent or session: all that are named have to fit."""
    for user in ("ana", "ben"):
        owner("remember", "likes tea", "--label", f"user={user}", "--label", "agent=helper")
    found = owner("search", "tea", "--label", "agent=helper", "--label", "user=ben", "--json")
    assert [hit["memory"]["labels"]["user"] for hit in found.data()["hits"]] == ["ben"]
    owner("search", "tea", "--label", "user", code=2)


def test_search_keeps_to_a_source(owner: Cli, tmp_path: Path) -> None:
    """What came from elsewhere is not found; a blank source is refused before anything is asked."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("likes tea\n")
    owner("import", str(tmp_path / "notes"))
    owner("remember", "likes tea too")
    (hit,) = owner("search", "tea", "--source", "notes", "--json").data()["hits"]
    assert hit["memory"]["content"] == "likes tea"
    owner("search", "tea", "--source", "/", code=2)


def test_list_keeps_to_what_search_keeps_to(owner: Cli, tmp_path: Path) -> None:
    """Labels, tags, authors, types, times and sources narrow a list, and a bad one is refused."""
    for user in ("ana", "ben"):
        owner("remember", f"{user} likes tea", "--label", f"user={user}", "-t", user)
    owner("remember", "old", "--created", "2001-01-01", "--source", "a letter", "--type", "fact")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# A\n\ntext\n")
    owner("import", str(tmp_path / "notes"))
    for words, count in (
        (("--label", "user=ben"), 1),
        (("--label", "user=ben", "--label", "agent=x"), 0),
        (("--any-tag", "ana", "--any-tag", "ben"), 2),
        (("--tag", "ana", "--tag", "ben"), 0),
        (("--until", "2002-01-01"), 1),
        (("--since", "2002-01-01"), 3),
        (("--source", "a letter"), 1),
        (("--source", "notes"), 1),
        (("--author", "owner", "--author", "nobody", "--type", "fact"), 1),
    ):
        assert len(owner("list", *words, "--json").data()) == count
    assert len(owner("list", "--limit", "2", "--json").data()) == 2
    for bad in (("--label", "user"), ("--since", "soon"), ("--importance", "7"), ("--source", "")):
        owner("list", *bad, code=2)
    owner.passphrase.unlink()  # of which nobody is asked before it is looked whether there is sense
    owner("list", "--importance", "7", code=2)


def test_a_search_by_words_embeds_nothing(owner: Cli) -> None:
    """Where much is not embedded yet, words are found all the same, without a model."""
    owner("remember", "we ate octopus by the river")
    broken = patch.object(MiniLmEmbedder, "embed_documents", side_effect=AssertionError)
    with patch("coffret.keptindex._SOON", 0), broken:
        assert "octopus" in owner("search", "octopus", "--mode", "words").out
        assert owner("search", "octopus", "--mode", "words", "--time", "--json").data()["hits"]
