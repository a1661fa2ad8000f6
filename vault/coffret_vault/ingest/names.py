"""Clean titles, tags and names: one line, visible characters, no more than fits.

A title is shown in lists, prompts and consent screens, and in ``plain`` mode the server reads it.
So it holds no control or bidirectional formatting character (with which a text can be made to read
backwards or hide a part of itself), and it is never taken from the sentences of a memory.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from coffret_vault.formats.marks import JOINERS, bound_marks
from coffret_vault.formats.memory import MAX_TAG, MAX_TAGS, MAX_TITLE

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TITLE_BYTES = MAX_TITLE - 32
"""What a title of ours may take, so that a date or a number can still be put behind it."""

_TITLE_CHARS = 200

_DATE = re.compile(
    r"(?<!\d)(19[7-9]\d|2[01]\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)"
)
_LEADING_DATE = re.compile(r"^" + _DATE.pattern + r"[\s_,.:\u2013\u2014-]*")
_NOT_SLUG = re.compile(r"[^\w]+")
_HASHTAG = re.compile(r"(?<![\w/&#\\])#([^\W\d_][\w-]*(?:/[\w-]+)*)")
_COLOUR = re.compile(r"[0-9a-f]{3,8}", re.IGNORECASE)
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_LINK_TARGET = re.compile(r"\]\([^()\s]*\)|<[^<>\s]+>")


def clean_line(text: str) -> str:
    """``text`` in NFC on one line, without control, format and unassigned-surrogate characters.

    What is clean stays as it is.
    """
    visible = bound_marks("".join(map(_visible, text)))
    return " ".join(unicodedata.normalize("NFC", visible).split())


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if char in "\t\n\r\v\f" or category in {"Zl", "Zp"}:
        return " "
    hidden = category in {"Cc", "Cf", "Cs"} and char not in JOINERS
    return "" if hidden else char


def clean_title(text: str) -> str:
    """``text`` as a title: ``clean_line``, at most 200 characters and 480 bytes, cut at a word."""
    line = clean_line(text)
    if len(line) <= _TITLE_CHARS and len(line.encode()) <= MAX_TITLE_BYTES:
        return line
    cut = clip(line[: _TITLE_CHARS - 1], MAX_TITLE_BYTES - 3)
    return (cut.rsplit(" ", 1)[0] if " " in cut[len(cut) // 2 :] else cut).rstrip() + "…"


def clip(text: str, size: int) -> str:
    """The longest beginning of ``text`` whose UTF-8 has at most ``size`` bytes."""
    return text.encode()[:size].decode("utf-8", "ignore")


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags in lower case without ``#``, no blanks or duplicates, order kept, at most 64."""
    cleaned = (clip(clean_line(tag).lower().lstrip("#").strip(" ,;"), MAX_TAG) for tag in tags)
    return tuple(dict.fromkeys(tag.strip() for tag in cleaned if tag.strip()))[:MAX_TAGS]


def hashtags(text: str) -> tuple[str, ...]:
    """The ``#tags`` in a paragraph; not issue numbers, colours, link targets or code."""
    prose = _LINK_TARGET.sub("]", _CODE_SPAN.sub(" ", text))
    found = (match.group(1) for match in _HASHTAG.finditer(prose))
    return clean_tags(tag for tag in found if not _is_colour(tag))


def _is_colour(tag: str) -> bool:
    looks_hex = _COLOUR.fullmatch(tag) is not None
    return looks_hex and (any(char.isdigit() for char in tag) or len(set(tag.lower())) == 1)


def day_in(text: str) -> str | None:
    """The first ``YYYY-MM-DD`` (also ``YYYYMMDD``, ``YYYY_MM_DD``) in a name, as ISO text."""
    match = _DATE.search(text)
    return f"{match[1]}-{match[2]}-{match[3]}" if match else None


def without_leading_day(text: str) -> str:
    """A name without the date it begins with: ``2024-05-02 Lisbon`` is ``Lisbon``."""
    return _LEADING_DATE.sub("", text) if day_in(text) else text


def title_of_file(relative: str) -> str:
    """A title from a file's name alone; a neutral one where the name is only a date."""
    stem = PurePosixPath(relative).stem
    words = clean_title(re.sub(r"[_-]+", " ", without_leading_day(stem)))
    if words:
        return words[0].upper() + words[1:]
    day = day_in(stem)
    return f"Journal entry {day}" if day else "Imported note"


def slug(text: str) -> str:
    """A heading as an anchor: lower case words joined by ``-``; may be empty."""
    return _NOT_SLUG.sub("-", clean_line(text).lower()).strip("-")[:80]


def printable_path(parts: Iterable[str]) -> str:
    """A relative path as text that is safe to print, the same on every system.

    Bytes that are not UTF-8 and control or bidirectional characters appear as escapes, so that
    distinct files keep distinct names, but for those that differ only in how accents are composed:
    see :func:`as_spelled`. No system has names so long that their marks would have to be bounded.
    """
    return "/".join(_printable(part) for part in parts)


def _printable(name: str) -> str:
    return "".join(map(_escaped, unicodedata.normalize("NFC", name)))


def _escaped(char: str) -> str:
    """A character as it is, or an escape where it cannot be shown or begins one."""
    if "\udc80" <= char <= "\udcff":  # how Python holds a byte that is not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char if _visible(char) == char != "\\" else char.encode("unicode_escape").decode("ascii")


def as_spelled(name: str) -> str:
    """A part of a path with its combining characters as escapes, as if they were not to be seen.

    It tells names apart that look alike, one of which is in NFC.
    """
    return "".join(
        char.encode("unicode_escape").decode("ascii") if not char.isascii() else _escaped(char)
        for char in name
    )
