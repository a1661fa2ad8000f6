"""A long text into pieces of about one subject each, losing nothing.

The pieces of a text, joined, are that text. Cuts fall at headings first, shallow before deep, so
that a chapter that fits stays whole; then between blocks, so that no list or code fence is torn;
and only a block that is itself far too long is cut between lines, then words. A diary kept in one
file (headings that begin with a date) is always cut at its days.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.names import clean_line, day_in, hashtags, slug

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it import MarkdownIt

_HARD_FACTOR = 4
"""A single block may be this many times the wished size before it is torn."""

_HEADING_CHARS = 1_000
"""What is looked at of a heading. Every section under it is named after it, and a title has 200."""

_DIARY_DAYS = 2
"""So many headings that begin with a date make a text a diary."""


class Section(Unshown, msgspec.Struct, frozen=True):
    """A piece of a text.

    Attributes:
        headings: the path of headings it stands under, outermost first, each a clean line.
        anchor: empty for the first piece of a text, unique among the others, and the same as
            long as its headings are.
        text: the piece, verbatim.
        part: 1, or 2 and more where one section had to be cut.
        tags: the hashtags in it.
    """

    headings: tuple[str, ...]
    anchor: str
    text: str
    part: int = 1
    tags: tuple[str, ...] = ()


class _Block(Unshown, msgspec.Struct, frozen=True):
    text: str
    level: int = 0
    heading: str = ""


class _Atom(msgspec.Struct, frozen=True):
    """A heading with the blocks up to the next one."""

    path: tuple[str, ...]
    level: int
    blocks: tuple[_Block, ...]

    @property
    def size(self) -> int:
        return sum(len(block.text) for block in self.blocks)

    @property
    def bare(self) -> bool:
        return all(block.level or not block.text.strip() for block in self.blocks)


def split_sections(text: str, chars: int) -> list[Section]:
    """Cut ``text`` into sections of about ``chars`` characters, and at most four times that."""
    groups = _join_bare(list(_gather(_atoms(_blocks(text)), chars)))
    named = [(group[0].path if len(group) == 1 else _common(group), group) for group in groups]
    pieces = [
        (path, part, piece)
        for path, group in named
        for part, piece in enumerate(_pack(group, chars), 1)
    ]
    return _anchored([piece for piece in pieces if piece[2].strip()])


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - not before there is Markdown

    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _blocks(text: str) -> list[_Block]:
    tokens = _parser().parse(text)
    lines = text.split("\n")
    marks = [
        (token.map[0], int(token.tag[1]), clean_line(tokens[at + 1].content[:_HEADING_CHARS]))
        if token.type == "heading_open"
        else (token.map[0], 0, "")
        for at, token in enumerate(tokens)
        if token.level == 0 and token.nesting >= 0 and token.map
    ]
    if not marks:
        return [_Block(text)]
    starts = [0, *(mark[0] for mark in marks[1:]), len(lines)]
    return [
        _Block(_lines(lines, starts[at], starts[at + 1]), level, heading)
        for at, (_, level, heading) in enumerate(marks)
    ]


def _lines(lines: Sequence[str], start: int, end: int) -> str:
    ending = "" if end == len(lines) else "\n"
    return "\n".join(lines[start:end]) + ending


def _atoms(blocks: Sequence[_Block]) -> list[_Atom]:
    atoms: list[_Atom] = []
    path: list[tuple[int, str]] = []
    current: list[_Block] = []
    for block in blocks:
        if block.level and current:
            atoms.append(_atom(path, current))
            current = []
        if block.level:
            path = [(level, name) for level, name in path if level < block.level]
            path.append((block.level, block.heading))
        current.append(block)
    atoms.append(_atom(path, current))
    return atoms


def _atom(path: Sequence[tuple[int, str]], blocks: Sequence[_Block]) -> _Atom:
    names = tuple(name for _, name in path if name)
    return _Atom(names, blocks[0].level, tuple(blocks))


def _gather(atoms: Sequence[_Atom], chars: int) -> Iterator[list[_Atom]]:
    """Group neighbouring atoms under a common heading as long as they fit together."""
    days = sum(_is_day(atom) for atom in atoms)
    fits = sum(atom.size for atom in atoms) <= chars and days < _DIARY_DAYS
    if fits or len(atoms) == 1:
        yield list(atoms)
        return
    cut = min((atom.level for atom in atoms[1:] if atom.level), default=0)
    start = 0
    for at in range(1, len(atoms) + 1):
        if at == len(atoms) or atoms[at].level == cut:
            yield from _gather(atoms[start:at], chars)
            start = at


def _is_day(atom: _Atom) -> bool:
    heading = atom.blocks[0].heading
    return day_in(heading[:10]) is not None


def _join_bare(groups: list[list[_Atom]]) -> list[list[_Atom]]:
    """Put headings without a text of their own in front of what follows them."""
    joined: list[list[_Atom]] = []
    waiting: list[_Atom] = []
    for group in groups:
        if all(atom.bare for atom in group):
            waiting += group
        else:
            joined.append(waiting + group)
            waiting = []
    if waiting and joined:
        joined[-1] += waiting
    elif waiting:
        joined.append(waiting)
    return joined


def _common(group: Sequence[_Atom]) -> tuple[str, ...]:
    """The path of a group: that of its first atom with a text, cut to what all of those share."""
    paths = [atom.path for atom in group if not atom.bare] or [group[0].path]
    shared = paths[0]
    for path in paths[1:]:
        while path[: len(shared)] != shared:
            shared = shared[:-1]
    return shared


def _pack(group: Sequence[_Atom], chars: int) -> Iterator[str]:
    blocks = (block.text for atom in group for block in atom.blocks)
    pieces = [piece for block in blocks for piece in cut_text(block, chars * _HARD_FACTOR)]
    current = ""
    for piece in pieces:
        if current.strip() and len(current) + len(piece) > chars:
            yield current
            current = ""
        current += piece
    yield current


def cut_text(text: str, chars: int) -> Iterator[str]:
    """Cut a text longer than ``chars`` after a line, else after a word, else anywhere."""
    start = 0
    while len(text) - start > chars:
        window = text[start : start + chars]
        at = max(window.rfind("\n"), window.rfind(" ") if "\n" not in window else -1) + 1
        at = at if window[:at].strip() else chars
        yield text[start : start + at]
        start += at
    yield text[start:]


def _anchored(pieces: Sequence[tuple[tuple[str, ...], int, str]]) -> list[Section]:
    seen: Counter[str] = Counter()
    slugs = {heading: slug(heading) for heading in {part for path, _, _ in pieces for part in path}}
    sections = []
    for at, (path, part, text) in enumerate(pieces):
        name = "/".join(slugs[heading] for heading in path)
        seen[name] += 1
        anchor = "" if at == 0 else f"{name}~{seen[name]}" if seen[name] > 1 else name or "~1"
        sections.append(Section(path, anchor, text, part, hashtags_in(text)))
    return sections


def hashtags_in(text: str) -> tuple[str, ...]:
    """The hashtags in the prose of a Markdown text, not in its code or headings."""
    tokens = _parser().parse(text)
    prose = [
        token.content
        for before, token in zip([None, *tokens], tokens, strict=False)
        if token.type == "inline" and (before is None or before.type != "heading_open")
    ]
    return hashtags("\n".join(prose))
