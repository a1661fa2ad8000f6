"""Cases of the vectors with something in them changed: whatever has two readers, they agree."""

from __future__ import annotations

import copy
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from fuzz.choosing import Choices
from fuzz.target import Target, agreed, given_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPERATIONS = (
    ("lineage", "lineage"),
    ("key-wrap", "unwrap"),
    ("key-wrap", "record-digest"),
    ("envelope", "open"),
    ("kdf", "kdf"),
    ("pae", "read-pae"),
    ("tree", "inclusion"),
    ("tree", "many-leaves"),
    ("tree", "consistency"),
)
_HEX = re.compile("(?:[0-9a-f]{2}){4,}")
_NUMBERS = (0, 1, 2, 3, 7, 8, 255, 256, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


@cache
def _given(file: str, operation: str) -> tuple[dict[str, Any], ...]:
    return tuple(given_of(file, operation))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where there are bytes in hex, and numbers: what holds them, and under which key."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inside:
        if isinstance(item, dict | list):
            yield from _places(item)
        elif isinstance(item, int) or _HEX.fullmatch(item):
            yield value, key


def _changed(item: Any, other: Any, choices: Choices) -> Any:
    """Another number, or bytes with some replaced, put in or left out; or those of elsewhere."""
    kind = choices.number() % 4
    if isinstance(item, int):
        near = (item + 1, max(0, item - 1), choices.number(8))
        return near[kind] if kind < 3 else _NUMBERS[choices.number() % len(_NUMBERS)]
    if kind == 3 and isinstance(other, str):
        return other
    data, at = bytes.fromhex(item), choices.number(2)
    at %= len(data)
    new = choices.short()[:64]
    gone = (len(new), 0, 1 + len(new))[kind % 3]
    return (data[:at] + new + data[at + gone :]).hex()


def _check(data: bytes) -> None:
    """One case, up to three of whose values are changed."""
    choices = Choices(data)
    file, operation = _OPERATIONS[choices.number() % len(_OPERATIONS)]
    cases = _given(file, operation)
    given = copy.deepcopy(cases[choices.number() % len(cases)])
    places = list(_places(given))
    for _ in range(choices.number() % 4):
        holder, key = places[choices.number() % len(places)]
        there, name = places[choices.number() % len(places)]
        holder[key] = _changed(holder[key], there[name], choices)
    agreed(operation, given, nested=True)


def _seeds() -> Iterator[bytes]:
    for at, (file, operation) in enumerate(_OPERATIONS):
        for case in range(0, len(_given(file, operation)), 5):
            yield bytes((at, case, 0))
            yield bytes((at, case, 1, case, 2, 0, 0, 9, 0, 1, 255))


TARGETS = (Target("cases", _check, _seeds, 256),)
