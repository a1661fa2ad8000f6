"""Titles, tags, anchors and dates in names."""

from __future__ import annotations

from time import process_time

import pytest

from coffret_vault.ingest.names import (
    clean_tags,
    clean_title,
    day_in,
    hashtags,
    slug,
    title_of_file,
)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("  two\n words\t", "two words"),
        ("a\u202e\u2066b\u200fc", "abc"),
        ("\x1b[31mred\x00", "[31mred"),
        ("line\u2028end", "line end"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("e\u0301", "é"),
        ("\ufeff", ""),
        ("half\ud83d", "half"),
    ],
)
def test_titles_hold_only_visible_characters_on_one_line(text: str, title: str) -> None:
    """Nothing in a title can hide a part of it or reorder it."""
    assert clean_title(text) == title


def test_long_titles_are_cut_at_a_word() -> None:
    """A title has at most 200 characters and ends with an ellipsis where it was cut."""
    assert clean_title("word " * 100) == ("word " * 39).rstrip() + "…"
    assert len(clean_title("x" * 500)) == 200
    assert len(clean_title("😀" * 500).encode()) <= 480


def test_tags_are_lower_case_and_unique() -> None:
    """Tags lose their mark, their case, blanks and repetitions, and are bounded."""
    assert clean_tags(["#Travel", " travel ", "", "##", "Two Words", "a\u202eb"]) == (
        "travel",
        "two words",
        "ab",
    )
    assert len(clean_tags(str(number) for number in range(1000))) == 64
    assert clean_tags(["x" * 500, "é" * 500]) == ("x" * 64, "é" * 32)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("2024-05-02", "2024-05-02"),
        ("20240502", "2024-05-02"),
        ("note_2024_05_02_b", "2024-05-02"),
        ("2024-13-02", None),
        ("2024-05-32", None),
        ("120240502", None),
        ("1890-05-02", None),
        ("plan 2024", None),
    ],
)
def test_days_in_names(name: str, day: str | None) -> None:
    """Only a plausible full date counts."""
    assert day_in(name) == day


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("a/2024-05-02.md", "Journal entry 2024-05-02"),
        ("a/2024-05-02-dentist.md", "Dentist"),
        ("packing_list-winter.txt", "Packing list winter"),
        ("a/---.md", "Imported note"),
    ],
)
def test_titles_from_file_names(name: str, title: str) -> None:
    """A file's name reads as a title, a date alone as a neutral one."""
    assert title_of_file(name) == title


def test_slugs_are_plain_words() -> None:
    """An anchor holds letters, digits and hyphens."""
    assert slug("  What the Physio said (2)! ") == "what-the-physio-said-2"
    assert slug("🎉") == ""


def test_code_spans_hold_no_tags() -> None:
    """A span begins and ends with as many backticks, of which none stands beside another."""
    assert hashtags("#a `#b` ``#c ` #d`` ```#e``") == ("a", "e")
    assert hashtags("`#b`` #a") == ("b", "a")


def test_backticks_without_an_end_take_no_time() -> None:
    """A row of backticks is looked for once, not once from each of them."""
    begun = process_time()
    assert hashtags("`" * 40_000 + " #a") == ("a",)
    assert process_time() - begun < 4  # it takes a millisecond, and took forty seconds
