"""Look for secrets in everything a server keeps: the demonstration's proof that it is blind."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_SHORTEST = 8
"""Bytes: anything shorter would be found by chance."""


class Scan(NamedTuple):
    """What was looked for, where, and what was found where."""

    needles: int
    forms: int
    looked_at: int
    found: list[tuple[str, str]]


def text_forms(text: str) -> list[bytes]:
    """The ways in which a text could stand in a file."""
    raw = text.encode()
    return [raw, text.encode("utf-16-le"), *_encodings(raw)]


def secret_forms(secret: bytes) -> list[bytes]:
    """The ways in which a key could stand in a file."""
    return [secret, *_encodings(secret)]


def vector_forms(vector: np.ndarray) -> list[bytes]:
    """The ways in which an embedding could stand in a file: its first sixteen numbers will do."""
    part = np.asarray(vector, dtype=np.float32)[:16]
    scaled = np.clip(np.round(part * 127), -127, 127).astype(np.int8)
    kinds = (part, part.astype(np.float64), part.astype(np.float16), scaled)
    return [form for kind in kinds for form in secret_forms(kind.tobytes())]


def _encodings(raw: bytes) -> list[bytes]:
    """Hex, and base64 at each of the three alignments, without the bytes its neighbours share."""
    forms = [raw.hex().encode(), raw.hex().upper().encode()]
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        forms.append(encoded[4 if shift else 0 : len(encoded) - 4])
    return forms


def scan(files: Iterable[Path], needles: Mapping[str, Iterable[bytes]]) -> Scan:
    """Look for every form of every needle in every file."""
    haystacks = {path.name: path.read_bytes() for path in files if path.exists()}
    found, forms = [], 0
    for name, wanted in needles.items():
        for form in wanted:
            if len(form) < _SHORTEST:
                continue
            forms += 1
            found += [(name, place) for place, data in haystacks.items() if form in data]
    return Scan(len(needles), forms, sum(map(len, haystacks.values())), found)
