"""Fields that a source states openly, under the names that people and programs give them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.names import clean_line, clean_tags, clean_title
from coffret_vault.ingest.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_MAX_TYPE_CHARS = 64


class Stated(Unshown, msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a ``Draft`` that a source's header fills; the rest is in ``metadata``."""

    title: str
    summary: str
    type: str
    tags: tuple[str, ...]
    importance: float | None
    confidence: float | None
    labels: Mapping[str, str]
    metadata: Mapping[str, object]
    created: int | None
    updated: int | None


def read_stated(fields: Mapping[str, object]) -> Stated:
    """Sort a header's fields; what is unknown, or not understood, goes to ``metadata`` as it is."""
    rest = {name: value for name, value in fields.items() if value is not None}
    return Stated(
        title=_take(rest, ("title",), _title) or "",
        summary=_take(rest, ("summary", "description"), _text) or "",
        type=_take(rest, ("type",), _type) or "contextual",
        tags=clean_tags([*_all_tags(rest)]),
        importance=_take(rest, ("importance",), read_unit),
        confidence=_take(rest, ("confidence",), read_unit),
        labels=_take(rest, ("labels",), _labels) or {},
        created=_take(rest, ("created", "created_at", "date"), parse_time),
        updated=_take(rest, ("updated", "updated_at", "modified", "lastmod"), parse_time),
        metadata=rest,
    )


def _take(
    rest: dict[str, object], names: tuple[str, ...], read: Callable[[object], T | None]
) -> T | None:
    """The first of ``names`` that can be understood; it leaves ``rest``, the others stay."""
    for name in _present(rest, names):
        value = read(rest[name])
        if value is not None:
            del rest[name]
            return value
    return None


def _present(rest: Mapping[str, object], names: tuple[str, ...]) -> list[str]:
    written = {name.strip().lower(): name for name in rest}
    return [written[name] for name in names if name in written]


def _all_tags(rest: dict[str, object]) -> list[str]:
    tags: list[str] = []
    while (more := _take(rest, ("tags", "tag", "keywords"), _tags)) is not None:
        tags += more
    return tags


def _title(value: object) -> str | None:
    return clean_title(str(value)) or None if isinstance(value, str | int | float) else None


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _type(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    word = clean_line(value).lower()
    return word if 0 < len(word) <= _MAX_TYPE_CHARS else None


def _tags(value: object) -> list[str] | None:
    if isinstance(value, str):
        words = value.strip().removeprefix("[").removesuffix("]")
        parts = re.split(r"[,;]" if re.search(r"[,;]", words) else r"\s+", words)
        return [part.strip(" \"'") for part in parts]
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return [str(item) for item in value]
    return None


def read_unit(value: object) -> float | None:
    """A number from 0 to 1, also written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0.0 <= number <= 1.0 else None


def _labels(value: object) -> dict[str, str] | None:
    if not isinstance(value, dict):
        return None
    whole = all(isinstance(item, str | int | float) for item in value.values())
    return {str(name): str(item) for name, item in value.items()} if whole else None
