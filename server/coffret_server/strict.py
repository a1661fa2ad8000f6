"""Strict JSON: no key twice, no deep nesting, no NaN."""

import json
import re
from typing import Any, Final, NoReturn

from coffret_server.problems import malformed, refuse

DEPTH: Final = 16
PARTS: Final = 500_000
"""Commas and brackets at most: the largest append has fewer, and each is work to look at."""
CONTROL_PARTS: Final = 50_000
"""The same for what is not of the data plane."""
# Possessive, and with an end that may be missing: what begins a string is looked at once, whatever
# follows. If a string that does not end were no match, each quote in it would be tried in its turn,
# and 80 kB would keep a server busy for half a minute.
_STRINGS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+["\\]?', re.DOTALL)
_OPEN: Final = frozenset(b"[{")
_PARTS: Final = re.compile(rb"[^\[\]{},]+")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        refuse("malformed", "a JSON object has a key twice")
    return found


def _constant(_name: str) -> NoReturn:
    refuse("malformed", "a JSON number is not finite")


def _check_depth(data: bytes, most: int) -> None:
    depth, parts = 0, _PARTS.sub(b"", _STRINGS.sub(b"", data))
    if len(parts) > most:
        refuse("malformed", "the JSON has too many parts")
    for bracket in parts.replace(b",", b""):
        depth += 1 if bracket in _OPEN else -1
        if depth > DEPTH:
            refuse("malformed", "the JSON is nested too deeply")


def loads(data: bytes, most: int = PARTS) -> object:
    """Decode JSON of at most so many parts.

    Raises:
        ProblemError: `malformed`.
    """
    _check_depth(data, most)
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_constant)
    except (ValueError, RecursionError):
        detail = "the body is not JSON"
        raise malformed(detail) from None
