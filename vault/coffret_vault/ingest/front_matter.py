"""The block of YAML between ``---`` lines, or of TOML between ``+++``, that begins a Markdown file.

YAML is read with a loader that is narrower than YAML: no aliases (a few lines of them unfold to
gigabytes), bounded depth, and only what JSON would call a number, ``true``, ``false`` or ``null``
is more than text: a date, ``no``, ``12:30`` and ``007`` stay as their writer saw them. Tags such as
``!!int`` are not read: what their constructors do with other words is anybody's guess.
"""

from __future__ import annotations

import math
import re
import tomllib

import yaml

_BLOCK = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_TOML = re.compile(r"\A\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"[A-Za-z][\w .-]*")
_MAX_CHARS = 64 * 1024
_MAX_TOML_CHARS = 4 * 1024
"""Names with many dots take Python's reader the square of their length: this many a moment."""
_MAX_DEPTH = 16
_INT64 = 2**63
_TAGS = frozenset((None, "!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))))
_LOADING = (
    yaml.YAMLError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What PyYAML's constructors end in. It shows the words, so nothing of it goes any further."""


class _Loader(yaml.SafeLoader):
    """``SafeLoader`` without aliases, tags, surprising scalars and bottomless nesting."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent) or self._depth >= _MAX_DEPTH:
            raise yaml.YAMLError
        if getattr(self.peek_event(), "tag", None) not in _TAGS:  # type: ignore[no-untyped-call]
            raise yaml.YAMLError
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}
for _tag, _words, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"0|-?[1-9][0-9]{0,17}", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}", list("-0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_words})$"), _first
    )


def split_front_matter(text: str) -> tuple[dict[str, object], str]:
    """The fields of the front matter, and the text after it.

    In TOML days and times are text. A block that is not YAML, such as ``title: Re: the boat``, is
    read line by line as plain ``name: words`` pairs; what is not that either stays in the text, so
    nothing is lost.

    Returns:
        JSON values by name, as written; empty, with the whole text, where there is no block.
    """
    match = _TOML.match(text)
    if match is not None and len(match[1]) <= _MAX_TOML_CHARS:
        fields = _from_toml(match[1])
        return (fields, text[match.end() :]) if fields is not None else ({}, text)
    match = _BLOCK.match(text)
    if match is None or len(match[1]) > _MAX_CHARS:
        return {}, text
    fields = _from_yaml(match[1])
    if fields is None:
        fields = _from_pairs(match[1])
    return (fields, text[match.end() :]) if fields is not None else ({}, text)


def _from_yaml(block: str) -> dict[str, object] | None:
    try:
        loaded: object = yaml.load(block, Loader=_Loader)  # noqa: S506  (a narrowed SafeLoader)
        value = {} if loaded is None else _json_value(loaded, _MAX_DEPTH)
    except _LOADING:
        return None
    return value if isinstance(value, dict) else None


def _from_toml(block: str) -> dict[str, object] | None:
    try:
        value = _json_value(tomllib.loads(block), _MAX_DEPTH)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _from_pairs(block: str) -> dict[str, object] | None:
    lines = [line for line in block.split("\n") if line.strip() and not line.startswith("#")]
    pairs = [_pair(line) for line in lines]
    if not all(pairs):
        return None
    return dict(pair for pair in pairs if pair)


def _pair(line: str) -> tuple[str, str] | None:
    name, colon, words = line.partition(":")
    name = name.rstrip(" \t")
    if not colon or words[:1] not in {"", " ", "\t"} or not _NAME.fullmatch(name):
        return None
    return name, _unquoted(words.strip())


def _unquoted(words: str) -> str:
    quoted = len(words) > 1 and words[0] == words[-1] and words[0] in "'\""
    return words[1:-1] if quoted else words


def _json_value(value: object, depth: int) -> object:
    """What was loaded, as values that JSON and MessagePack both hold without loss.

    Raises:
        RecursionError: it is nested deeper than that.
    """
    if depth < 0:
        raise RecursionError
    if isinstance(value, dict):
        return {str(name): _json_value(item, depth - 1) for name, item in value.items()}
    if isinstance(value, list | set | tuple):
        return [_json_value(item, depth - 1) for item in value]
    fits = (
        value is None
        or isinstance(value, str | bool)
        or (isinstance(value, int) and -_INT64 <= value < _INT64)
        or (isinstance(value, float) and math.isfinite(value))
    )
    return value if fits else str(value)
