"""Whether a memory has what a filter asks of its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    Scalar = str | int | float | bool

_MOST_BITS = 64


def has_metadata(metadata: Mapping[str, object], wanted: Mapping[str, Scalar]) -> bool:
    """Whether each name that is wanted has its value, or has it in a list.

    Values compare as JSON writes them, a text without its quotes: what was imported says ``2024``
    or ``"2024"``, and who asks need not know which.
    """
    return all(
        name in metadata and _has(metadata[name], written(value)) for name, value in wanted.items()
    )


def _has(value: object, text: str | None) -> bool:
    many = value if isinstance(value, list | tuple) else (value,)
    return text is not None and text in map(written, many)


def written(value: object) -> str | None:
    """A text, number or truth value as text, a whole number without a point; None for all else."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return None  # no metadata holds it, and its digits may be too many to write
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return str(value) if isinstance(value, str | int | float) else None
