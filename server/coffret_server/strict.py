"""Strict JSON: no key twice, no deep nesting, no NaN."""

import json
import re
from typing import Any, Final, NoReturn

from coffret_server.problems import malformed, refuse

DEPTH: Final = 16
# Possessive, and with an end that may be missing: what begins a string is looked at once, whatever
# follows. If a string that does not end were no match, each quote in it would be tried in its turn,
# and 80 kB would keep a server busy for half a minute.
_STRINGS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+["\\]?', re.DOTALL)
_OPEN: Final = frozenset(b"[{")
_BRACKETS: Final = re.compile(rb"[^\[\]{}]+")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        refuse("malformed", "a JSON object has a key twice")
    return found


def _constant(_name: str) -> NoReturn:
    refuse("malformed", "a JSON number is not finite")


def _check_depth(data: bytes) -> None:
    depth = 0
    for bracket in _BRACKETS.sub(b"", _STRINGS.sub(b"", data)):
        depth += 1 if bracket in _OPEN else -1
        if depth > DEPTH:
            refuse("malformed", "the JSON is nested too deeply")


def loads(data: bytes) -> object:
    """Decode JSON.

    Raises:
        ProblemError: `malformed`.
    """
    _check_depth(data)
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_constant)
    except (ValueError, RecursionError):
        detail = "the body is not JSON"
        raise malformed(detail) from None
