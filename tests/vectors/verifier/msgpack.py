"""MessagePack as docs/spec/4-records.md wants it: shortest forms, no extension types."""

from __future__ import annotations

import struct
from typing import Any

from vectors.verifier.encoding import Cursor
from vectors.verifier.refusal import require

_DEPTH = 64
# First byte: how many bytes of length follow, and the least length that needs so many.
_BYTES = {0xC4: (1, 0), 0xC5: (2, 1 << 8), 0xC6: (4, 1 << 16)}
_TEXTS = {0xD9: (1, 32), 0xDA: (2, 1 << 8), 0xDB: (4, 1 << 16)}
_ARRAYS = {0xDC: (2, 16), 0xDD: (4, 1 << 16)}
_MAPS = {0xDE: (2, 16), 0xDF: (4, 1 << 16)}
_UNSIGNED = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_SIGNED = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_PLAIN: dict[int, Any] = {0xC0: None, 0xC2: False, 0xC3: True}


def unpack(data: bytes) -> Any:
    """The one value in ``data``; maps become lists of pairs so that repetitions can be seen."""
    cursor = Cursor(data)
    value = _value(cursor, _DEPTH)
    cursor.end()
    return value


class Pairs(list[tuple[Any, Any]]):
    """A map, in the order in which it stands there."""

    def mapping(self) -> dict[Any, Any]:
        """As a dict, without repetition; its names are texts."""
        require(all(isinstance(name, str) for name, _ in self))
        out = dict(self)
        require(len(out) == len(self))
        return out


def _length(cursor: Cursor, form: tuple[int, int]) -> int:
    width, least = form
    size = int.from_bytes(cursor.take(width), "big")
    require(size >= least)
    return size


def _value(cursor: Cursor, depth: int) -> Any:
    require(depth)
    first = cursor.take(1)[0]
    if first < 0x80 or first >= 0xE0:
        return first if first < 0x80 else first - 0x100
    if first < 0x90 or first in _MAPS:
        size = first & 15 if first < 0x90 else _length(cursor, _MAPS[first])
        return Pairs((_value(cursor, depth - 1), _value(cursor, depth - 1)) for _ in range(size))
    if first < 0xA0 or first in _ARRAYS:
        size = first & 15 if first < 0xA0 else _length(cursor, _ARRAYS[first])
        return [_value(cursor, depth - 1) for _ in range(size)]
    return _scalar(cursor, first)


def _scalar(cursor: Cursor, first: int) -> Any:
    if first < 0xC0 or first in _TEXTS:
        size = first & 31 if first < 0xC0 else _length(cursor, _TEXTS[first])
        return _text(cursor.take(size))
    if first in _BYTES:
        return cursor.take(_length(cursor, _BYTES[first]))
    if first in _UNSIGNED or first in _SIGNED:
        return _integer(cursor, first)
    if first == 0xCB:
        return struct.unpack(">d", cursor.take(8))[0]
    require(first in _PLAIN)
    return _PLAIN[first]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        require(condition=False)
        raise


def _integer(cursor: Cursor, first: int) -> int:
    if first in _UNSIGNED:
        width = _UNSIGNED[first]
        value = int.from_bytes(cursor.take(width), "big")
        require(value >= (0x80 if width == 1 else 1 << 4 * width))
        return value
    width = _SIGNED[first]
    value = int.from_bytes(cursor.take(width), "big", signed=True)
    require(value < (-32 if width == 1 else -(1 << 4 * width - 1)))
    return value
