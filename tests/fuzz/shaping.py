"""Changes that keep the lengths of PAE in order, so that what is behind them is reached."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from coffret_vault.formats.pae import u64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fuzz.target import Mutate

_WORD = 8
_MOST = 256


def split(data: bytes) -> list[bytes] | None:
    """The items of a list with its count in front; None if it is none."""
    count, at, items = int.from_bytes(data[:_WORD], "big"), _WORD, []
    if len(data) < _WORD or count > _MOST:
        return None
    for _ in range(count):
        start = at + _WORD
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data):
            return None
        items.append(data[start:at])
    return items if at == len(data) else None


def _label_end(data: bytes) -> int:
    """Where the label of a PAE ends; 0 if there is none."""
    end = _WORD + int.from_bytes(data[:_WORD], "big")
    return end if data[_WORD : _WORD + 8] == b"coffret/" and end <= len(data) else 0


def join(items: Sequence[bytes]) -> bytes:
    """The items as a list with its count in front."""
    return u64(len(items)) + b"".join(u64(len(item)) + item for item in items)


def _change_items(items: list[bytes], change: Mutate, most: int, random: Random) -> None:
    at = random.randrange(len(items) + 1)
    kind = random.randrange(12)
    if kind == 0 or at == len(items):
        items.insert(at, change(b"", 32))
    elif kind == 1:
        del items[at]
    elif kind == 2:
        items.sort()
    elif kind == 3:
        other = random.randrange(len(items))
        items[at], items[other] = items[other], items[at]
    else:
        items[at] = _changed(items[at], change, most, random)


def _changed(data: bytes, change: Mutate, most: int, random: Random) -> bytes:
    end = _label_end(data)
    items = split(data[end:])
    if items is None or random.randrange(8) == 0:
        return change(data, most)
    _change_items(items, change, most, random)
    return data[:end] + join(items)


def mutate_fields(data: bytes, change: Mutate, most: int, seed: int) -> bytes:
    """Change a field somewhere inside an object, or once in a while the bytes as they are."""
    random = Random(seed)  # noqa: S311 - not for keys: libFuzzer repeats by the seed
    return _changed(data, change, most, random)[:most]
