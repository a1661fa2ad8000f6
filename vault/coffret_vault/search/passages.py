"""From a memory to the texts that are embedded: short ones whole, long ones in passages."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret_vault.search.document import Document

# Raised when the same memory would give other texts: a snapshot made before is then rebuilt.
PASSAGES: Final = 1

# In estimated tokens. The default model reads 256; estimates err, and the heading needs its share.
_PASSAGE: Final = 170
_OVERLAP: Final = 40
# What follows after so many passages (about 150 KB) is found by its words only: embedding a 10 MB
# memory whole would take minutes.
_MOST_PASSAGES: Final = 256
_HEADING: Final = 120
_MONTH_NAMES: Final = """
January February March April May June July August September October November December
"""
_MONTHS: Final = _MONTH_NAMES.split()
# A run of up to six letters, or one mark: about one token in English, less than one elsewhere.
_PIECE: Final = re.compile(r"[A-Za-z0-9]{1,6}|[^\sA-Za-z0-9]")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def whole_text(document: Document) -> str:
    """Everything of a memory that can be found by its words."""
    parts = [_heading(document), document.summary, document.content, ", ".join(document.tags)]
    return "\n".join(part for part in parts if part)


def passages(document: Document) -> list[str]:
    """The texts whose vectors stand for a memory: at least one.

    Each begins with the date and the title, which tell what a passage out of the middle is about
    and when; questions often name a time.
    """
    text = whole_text(document)
    if len(text) <= _PASSAGE or len(_pieces(text, _PASSAGE + 1)) <= _PASSAGE:
        return [text]
    heading = _heading(document)[:_HEADING]
    body = text[len(_heading(document)) :].lstrip("\n")
    return [f"{heading}\n{part}" for part in _cut(body)]


def _heading(document: Document) -> str:
    date = _date(document.created)
    return f"{date}: {document.title}" if document.title else date


def _date(microseconds: int) -> str:
    """The day in words, in UTC; empty when it is beyond the calendar."""
    try:
        day = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return ""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _cut(text: str) -> Iterator[str]:
    """Overlapping passages of ``text``, cut between pieces."""
    pieces = _pieces(text, _MOST_PASSAGES * _PASSAGE)
    for number in range(_MOST_PASSAGES):
        first = number * (_PASSAGE - _OVERLAP)
        last = min(first + _PASSAGE, len(pieces))
        yield text[_word_start(text, pieces[first][0]) : pieces[last - 1][1]]
        if last == len(pieces):
            return


def _pieces(text: str, most: int) -> list[tuple[int, int]]:
    """Where the pieces of ``text`` begin and end; of a huge text only the first ``most``."""
    return [match.span() for match in islice(_PIECE.finditer(text), most)]


def _word_start(text: str, place: int) -> int:
    """Where the word that ``place`` lies in begins, if that is near."""
    start = place
    while start > max(0, place - 6) and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    return start
