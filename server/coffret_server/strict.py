"""Strict JSON: no key twice, no deep nesting, no NaN."""

import json
from typing import Any, Final, NoReturn

from coffret_server.problems import malformed, refuse

DEPTH: Final = 16
PARTS: Final = 500_000
"""Commas and brackets at most: the largest append has fewer, and each is work to look at."""
CONTROL_PARTS: Final = 50_000
"""The same for what is not of the data plane."""
ESCAPES: Final = 500_000
"""Backslashes at most, each of which is work for whoever decodes it. Base64 needs none."""
_QUOTES_A_PART: Final = 4
"""A key and a value at most stand between two commas or brackets."""
_MEANT: Final = b"[]{},"
_OTHERS: Final = bytes(set(range(256)) - set(_MEANT))
_OPEN: Final = frozenset(b"[{")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        refuse("malformed", "a JSON object has a key twice")
    return found


def _constant(_name: str) -> NoReturn:
    refuse("malformed", "a JSON number is not finite")


def _outside(data: bytes, most: int) -> bytes:
    """What stands outside of strings; each byte is looked at a few times, whatever it is.

    A backslash means something in a string alone. Where one stands elsewhere the decoder stops, and
    what this says of all behind it does not matter. A string that does not end is all that follows.
    """
    if data.count(b"\\") > ESCAPES:
        refuse("malformed", "the JSON has too many escapes")
    plain = data.replace(rb"\\", b"").replace(rb"\"", b"")
    if plain.count(b'"') > _QUOTES_A_PART * (most + 1):
        refuse("malformed", "the JSON has too many parts")
    return b"".join(plain.split(b'"')[::2])


def _check_depth(data: bytes, most: int) -> None:
    depth, parts = 0, _outside(data, most).translate(None, _OTHERS)
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
