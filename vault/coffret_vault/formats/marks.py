"""Combining marks, no more in a row than any language has.

Putting marks in their order takes the square of how many there are in a row: a megabyte of them
keeps ``unicodedata.normalize`` busy for minutes, and nothing interrupts it. So whoever reads texts
of any length bounds them first.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_MARKS: Final = 30
"""As in UAX #15's Stream-Safe Text Format, which knows no text in use with more."""
JOINERS: Final = "\u200c\u200d"
"""Unseen, and needed inside Persian words and family emoji; they reorder nothing."""
_HALFWIDTH: Final = "\uff9e\uff9f"
"""Letters by their category, and marks once they are in NFKC or NFKD: the only ones."""
# What might be so many: marks are no letters, and a class of all of them would take long to make.
_LIKELY: Final = re.compile(rf"(?:[^\w\s\x00-\x7f]|[{_HALFWIDTH}]){{{MOST_MARKS + 1}}}")


def bound_marks(text: str) -> str:
    """``text`` without the marks that come after :data:`MOST_MARKS` others in a row."""
    if text.isascii() or _LIKELY.search(text) is None:
        return text
    return "".join(_bounded(text))


def _bounded(text: str) -> Iterator[str]:
    row = 0
    for char in text:
        row = row + 1 if unicodedata.category(char)[0] == "M" or char in _HALFWIDTH else 0
        if row <= MOST_MARKS:
            yield char
