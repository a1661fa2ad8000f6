"""Find secrets where they must not be, whatever they were encoded as."""

from __future__ import annotations

import logging
import traceback
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from coffret_vault.search.embedder import Vectors

_LEAST = 8


def forms(secret: bytes) -> Iterator[bytes]:
    """The secret as it is, in hex, and in base64 at each of its three alignments."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for skipped in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            # Only the symbols that depend on the secret alone, not on its neighbours.
            text = encode(bytes(skipped) + secret)
            first = -(-skipped * 8 // 6)
            last = (skipped + len(secret)) * 8 // 6
            yield text[first:last]


def vector_forms(vector: Vectors) -> Iterator[bytes]:
    """An embedding as float32, float16 and int8, whole and by its first sixteen numbers."""
    for kind in (np.float32, np.float16):
        yield vector.astype(kind).tobytes()
        yield vector[:16].astype(kind).tobytes()
    scaled = np.clip(np.rint(vector * (127 / np.abs(vector).max())), -127, 127)
    yield scaled.astype(np.int8).tobytes()


def traces(secrets: Mapping[str, bytes], places: Mapping[str, bytes]) -> list[str]:
    """Which secret is in which place, in whatever form."""
    found = []
    for name, secret in secrets.items():
        assert len(secret) >= _LEAST, name
        needles = set(forms(secret))
        found += [
            f"{name} in {place}"
            for place, data in places.items()
            if any(needle in data for needle in needles)
        ]
    return found


def files(folder: Path, names: Iterable[str] = ("*",)) -> dict[str, bytes]:
    """Every file under a folder, by its name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in names
        for path in sorted(folder.rglob(name))
        if path.is_file()
    }


class Listening(logging.Handler):
    """Keeps every log record as text, tracebacks and arguments included."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.lines += [
            self.format(record),
            repr(record.args),
            repr(sorted(record.__dict__.items())),
        ]

    def text(self) -> bytes:
        """All of them."""
        return "\n".join(self.lines).encode()


def told(error: BaseException) -> bytes:
    """All that an error says: text, representation, hint and traceback with its chain."""
    lines = traceback.format_exception(error)
    parts = [*lines, str(error), repr(error), repr(vars(error))]
    return "\n".join(parts).encode("utf-8", "replace")
