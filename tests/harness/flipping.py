"""Bytes of which one is another, whatever they were."""

from __future__ import annotations


def flipped(data: bytes, at: int = -1) -> bytes:
    """The bytes with the lowest bit of one of them changed; what is put there never equals it."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)
