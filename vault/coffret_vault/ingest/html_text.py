"""What a person reads of a piece of HTML, as Markdown. One pass, whatever is in it.

It is for what programs export, which is plain: paragraphs, lists, headings, code, tables. What a
browser would do with anything else is not asked: a tag that is not known is left out, and its text
stays.
"""

from __future__ import annotations

import html
import re

from coffret_vault.ingest.errors import SourceDamagedError

_PIECE = re.compile(r"<(?P<end>/?)(?P<tag>[a-zA-Z][a-zA-Z0-9]*+)[^<>]*+>|<[!?][^<>]*+>")
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_MANY_LINES = re.compile(r"\n{3,}")
_UNSEEN = frozenset(("script", "style", "template", "title"))
_APART = {"p": "\n\n", "div": "\n", "br": "\n", "hr": "\n\n", "tr": "\n", "ul": "\n", "ol": "\n"}
_APART |= {"table": "\n\n", "blockquote": "\n\n"}
_MARKED = {"b": "**", "strong": "**", "i": "*", "em": "*"}
_BEGIN = {"li": "\n- ", "td": " | ", "th": " | "}
_BEGIN |= {f"h{level}": "\n\n" + "#" * level + " " for level in range(1, 7)}
_END = {f"h{level}": "\n\n" for level in range(1, 7)}


def text_of(source: str, most: int) -> str:
    """The text of a piece of HTML.

    Raises:
        SourceDamagedError: it has more characters than ``most``.
    """
    if len(source) > most:
        detail = "longer than a memory may be"
        raise SourceDamagedError(detail)
    reader = _Reader()
    at = 0
    for match in _PIECE.finditer(source):
        reader.text(source[at : match.start()])
        reader.tag((match["tag"] or "").lower(), is_end=bool(match["end"]))
        at = match.end()
    reader.text(source[at:])
    lines = (line.rstrip() for line in "".join(reader.found).split("\n"))
    return _MANY_LINES.sub("\n\n", "\n".join(lines)).strip("\n")


class _Reader:
    def __init__(self) -> None:
        self.found: list[str] = []
        self._unseen = ""
        self._is_code = False

    def text(self, raw: str) -> None:
        if self._unseen or not raw:
            return
        text = _REFERENCE.sub(lambda match: html.unescape(match[0]), raw)
        if not self._is_code:
            text = _BLANKS.sub(" ", text)
            if not self.found or self.found[-1].endswith("\n"):
                text = text.lstrip(" ")
        self.found.append(text)

    def tag(self, name: str, *, is_end: bool) -> None:
        if self._unseen:
            self._unseen = "" if is_end and name == self._unseen else self._unseen
        elif name in _UNSEEN:
            self._unseen = "" if is_end else name
        elif name == "pre":
            self._is_code = not is_end
            self.found.append("\n```\n")
        elif name == "code" and not self._is_code:
            self.found.append("`")
        elif not self._is_code or name == "br":
            self.found.append(self._mark(name, is_end=is_end))

    @staticmethod
    def _mark(name: str, *, is_end: bool) -> str:
        if name in _MARKED:
            return _MARKED[name]
        own = _END if is_end else _BEGIN
        return own.get(name, _APART.get(name, ""))
