"""Combining marks in a row are bounded before a text of any length is composed or taken apart."""

from __future__ import annotations

import sys
import unicodedata
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret_vault.errors import FormatError
from coffret_vault.formats.layout import LONGEST_TEXT, write_text
from coffret_vault.formats.marks import MOST_MARKS, bound_marks
from coffret_vault.ingest.draft import Draft
from coffret_vault.ingest.errors import SourceDamagedError
from coffret_vault.ingest.fits import check_fits
from coffret_vault.ingest.limits import DEFAULT_LIMITS
from coffret_vault.ingest.names import clean_line, clean_tags, clean_title, slug
from coffret_vault.records.memory import Fields, checked
from coffret_vault.search.wordpiece import WordPiece
from coffret_vault.search.words import Analyzer

if TYPE_CHECKING:
    from collections.abc import Callable

    Use = Callable[[str], object]

HOSTILE = {
    "out of order": "a" + "\u0301" * 2_000 + "\u0323" * 2_000,
    "halfwidth": "\uff76" + "\u0301\uff9e" * 2_000,
    "without classes": "\u0f71" + "\u0f73\u0301" * 2_000,
    "hidden in between": "a" + "\u0301\u0323\x01" * 2_000,
    "after a text": "many words that are like any others " * 10 + "\u0301\u0323" * 2_000,
}
USES: dict[str, Use] = {
    "terms": lambda text: Analyzer().terms(text),
    "a question": lambda text: Analyzer().question(text),
    "pieces": lambda text: WordPiece(["[UNK]", "[CLS]", "[SEP]"]).encode(text, limit=8),
    "a line": clean_line,
    "a title": clean_title,
    "tags": lambda text: clean_tags([text]),
    "an anchor": slug,
    "fields": lambda text: checked(Fields(content="text", title=text, tags=(text,))),
}
_normalize: Any = unicodedata.normalize


def _measured(form: str, text: str, /) -> str:
    """As ``unicodedata.normalize``, for texts that it is quick with."""
    row = longest = 0
    for char in _normalize("NFKD" if "K" in form else "NFD", text[:3_000]):
        row = row + 1 if unicodedata.combining(char) else 0
        longest = max(row, longest)
    # One character becomes three marks at most.
    assert longest <= 3 * MOST_MARKS
    return str(_normalize(form, text))


@pytest.mark.attack(61)
@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("use", USES)
def test_no_text_is_composed_with_many_marks(use: str, hostile: str) -> None:
    """What takes the square of the marks in a row gets few of them, whoever wrote the text."""
    with patch("unicodedata.normalize", _measured):
        USES[use](HOSTILE[hostile])


@pytest.mark.control(61)
@pytest.mark.parametrize("use", ["terms", "pieces", "a line"])
def test_without_a_bound_all_of_them_are_composed(use: str) -> None:
    """Control: a reader that does not bound them composes thousands in a row."""
    where = {"terms": "search.words", "pieces": "search.wordpiece", "a line": "ingest.names"}[use]
    careless = patch(f"coffret_vault.{where}.bound_marks", lambda text: text)
    with careless, patch("unicodedata.normalize", _measured), pytest.raises(AssertionError):
        USES[use](HOSTILE["out of order"])


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_fits_no_field_is_refused_before_it_is_composed(hostile: str) -> None:
    """A text that is too long for any field is refused for its length, here and at an import."""
    text = HOSTILE[hostile] + "é" * LONGEST_TEXT
    with patch("unicodedata.normalize", _measured):
        with pytest.raises(FormatError):
            write_text(text)
        for field in ({"title": text}, {"tags": (text,)}):
            draft = Draft(content="text", key="key", source="a", **field)
            with pytest.raises(SourceDamagedError):
                check_fits(draft, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    "text",
    [
        "Cafe\u0301 de\u0301ja\u0300 vu",
        "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48 \u0e01\u0e33\u0e25\u0e31\u0e07",
        "\uff76\uff9e\uff77\uff9e" * 50,
        "a" + "\u0301" * MOST_MARKS + "b" + "\u0323" * MOST_MARKS,
        "\u2500" * 200 + "\u2014" * 200,
        "\U0001f469\u200d\U0001f467\ufe0f" * 50,
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    """Accents, vowel signs, lines of dashes and emoji are none too many."""
    assert bound_marks(text) == text


def test_every_mark_is_known_for_one() -> None:
    """There is no character that may begin with a mark and is not counted."""
    missed = [
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if unicodedata.combining(_normalize("NFKD", char)[0])
        and len(bound_marks(char * (MOST_MARKS + 9))) != MOST_MARKS
    ]
    assert missed == []
