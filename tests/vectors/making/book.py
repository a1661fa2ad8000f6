"""A file of vectors while it is made."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Book:
    """The cases of one file: each has a name, an operation, what is given, and the outcome."""

    def __init__(self, name: str, spec: str, about: str) -> None:
        """Begin a file.

        Args:
            name: the file's name, without ``.json``.
            spec: the page of docs/spec that it follows.
            about: one sentence for people.
        """
        self.name = name
        self._about = {"about": about, "spec": f"docs/spec/{spec}.md"}
        self._cases: list[dict[str, Any]] = []

    def accept(self, name: str, operation: str, given: Mapping[str, Any], /, **gives: Any) -> None:
        """A case that must be accepted and give this."""
        self._add(name, operation, given, "accept", gives)

    def refuse(self, name: str, operation: str, given: Mapping[str, Any], outcome: str) -> None:
        """A case that must be refused with this outcome class."""
        self._add(name, operation, given, outcome, {})

    def _add(
        self,
        name: str,
        operation: str,
        given: Mapping[str, Any],
        outcome: str,
        gives: Mapping[str, Any],
    ) -> None:
        case = {"name": name, "operation": operation, "given": dict(given), "outcome": outcome}
        self._cases.append(case | ({"gives": dict(gives)} if gives else {}))

    def text(self) -> str:
        """The file's text."""
        whole = {**self._about, "cases": self._cases}
        return json.dumps(whole, indent=1, ensure_ascii=True) + "\n"


def flipped(data: bytes, at: int) -> str:
    """The bytes, in hex, with the lowest bit of one of them changed."""
    return (data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]).hex()


def steady(label: str, size: int) -> bytes:
    """Bytes that look random and are the same every time."""
    return hashlib.shake_256(f"coffret vectors: {label}".encode()).digest(size)


class Steady:
    """A source of randomness that begins anew with each label."""

    def __init__(self, label: str) -> None:
        """Draw from the stream of ``label``."""
        self._label = label
        self._draws = 0

    def __call__(self, size: int) -> bytes:
        """The next bytes."""
        self._draws += 1
        return steady(f"{self._label} {self._draws}", size)
