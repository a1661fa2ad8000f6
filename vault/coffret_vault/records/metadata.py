"""Whether a memory has what a filter asks of its metadata, and what an index lists of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Scalar = str | int | float | bool

_MOST_BITS = 64
_MOST_LISTED = 64
_LONGEST_LISTED = 128
"""So much of one memory's metadata is listed, and values of so many characters, with their names:
metadata may be as long as what a memory says, and an app writes it."""


def has_metadata(metadata: Mapping[str, object], wanted: Mapping[str, Scalar]) -> bool:
    """Whether each name that is wanted has its value, or has it in a list.

    Values compare as JSON writes them, a text without its quotes: what was imported says ``2024``
    or ``"2024"``, and who asks need not know which.
    """
    return all(
        name in metadata and _has(metadata[name], written(value)) for name, value in wanted.items()
    )


def _has(value: object, text: str | None) -> bool:
    return text is not None and text in map(written, _many(value))


def _many(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else (value,)


def listed(metadata: Mapping[str, object]) -> frozenset[tuple[str, str]] | None:
    """All that :func:`has_metadata` finds: each name with each value, as :func:`written` has it.

    None where that is too much to list; such a memory is opened to be asked.
    """
    found: set[tuple[str, str]] = set()
    for name, value in metadata.items():
        texts = {text for text in map(written, _many(value)) if text is not None}
        if any(len(name) + len(text) > _LONGEST_LISTED for text in texts):
            return None
        found.update((name, text) for text in texts)
        if len(found) > _MOST_LISTED:
            return None
    return frozenset(found)


def written(value: object) -> str | None:
    """A text, number or truth value as text, a whole number without a point; None for all else."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return None  # no metadata holds it, and its digits may be too many to write
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return str(value) if isinstance(value, str | int | float) else None
