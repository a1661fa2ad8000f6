"""Structured input out of plain bytes, and plain bytes out of structured input.

The choices stand in the order in which they are taken, so that a seed can be written down and a
small change of the bytes is a small change of what is chosen.
"""

from __future__ import annotations

_WORD = 2


class Choices:
    """Takes values from the front of some bytes; zeros where there are none left."""

    def __init__(self, data: bytes) -> None:
        """Choose by ``data``."""
        self._data = data
        self._at = 0

    def number(self, size: int = 1) -> int:
        """An integer of so many bytes, big-endian."""
        return int.from_bytes(self.fixed(size), "big")

    def fixed(self, size: int) -> bytes:
        """So many bytes."""
        found = self._data[self._at : self._at + size]
        self._at += size
        return found.ljust(size, b"\0")

    def short(self) -> bytes:
        """Bytes behind their length, which has two bytes; fewer at the end."""
        size = self.number(_WORD)
        found = self._data[self._at : self._at + size]
        self._at += size
        return found

    def rest(self) -> bytes:
        """All that is left."""
        found = self._data[self._at :]
        self._at = len(self._data)
        return found


def short(data: bytes) -> bytes:
    """What :meth:`Choices.short` takes as ``data``."""
    return len(data).to_bytes(_WORD, "big") + data
