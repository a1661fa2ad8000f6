"""The keyword arguments that several methods share, and what they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from coffret.finding import Search
from coffret.flows.memories import NewMemory
from coffret_vault.errors import InputError
from coffret_vault.records.memory import Fields

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime
    from typing import Unpack

    from coffret_vault.search import Mode


class Details(TypedDict, total=False):
    """What may be said of a memory beside its content; see ``Fields`` for each."""

    title: str
    summary: str
    type: str
    tags: Collection[str]
    importance: float | None
    confidence: float | None
    source: str
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]
    sealed: bool
    valid_from: datetime | None
    valid_until: datetime | None
    provenance: Mapping[str, str]


class Changes(Details, total=False):
    """What may be changed of a memory."""

    content: str


class Wanted(TypedDict, total=False):
    """What narrows a search; see ``Search`` for each."""

    tags: Collection[str]
    any_tags: Collection[str]
    types: Collection[str]
    authors: Collection[str]
    labels: Mapping[str, str]
    importance: float | None
    since: datetime | None
    until: datetime | None
    limit: int
    mode: Mode


def _collected(values: Mapping[str, Any], *, into: type, names: frozenset[str]) -> dict[str, Any]:
    """Collections as the kind that the struct holds; a bare string is not one."""
    collected = dict(values)
    for name in names & collected.keys():
        collected[name] = into(many(name, collected[name]))
    return collected


def many(name: str, values: Collection[str]) -> Collection[str]:
    """The values of an argument that takes several.

    Raises:
        InputError: one text, whose letters would be taken for the values.
    """
    if isinstance(values, str):
        message = f"{name} is a collection of texts, not one text"
        raise InputError(message)
    return values


_TAGS = frozenset(("tags",))
_SETS = frozenset(("tags", "any_tags", "types", "authors"))
_MAPS = frozenset(("labels", "metadata", "provenance"))


def fields_of(content: str, details: Mapping[str, Any]) -> Fields:
    """The fields of a memory from a call's arguments."""
    return Fields(content=content, **_normal(details))


def _normal(details: Mapping[str, Any]) -> dict[str, Any]:
    values = _collected(details, into=tuple, names=_TAGS)
    return {name: dict(value) if name in _MAPS else value for name, value in values.items()}


def changed(changes: Mapping[str, Any]) -> Callable[[Fields], Fields]:
    """A function that makes these changes to a memory's fields."""
    normal = _normal(changes)

    def change(fields: Fields) -> Fields:
        result: Fields = msgspec.structs.replace(fields, **normal)
        return result

    return change


def new_memory(content: str, created: datetime | None, **details: Unpack[Details]) -> NewMemory:
    """A memory to be written, from a call's arguments."""
    return NewMemory(fields_of(content, details), created=created)


def search_of(wanted: Mapping[str, Any]) -> Search:
    """A search from a call's arguments."""
    return Search(**_collected(wanted, into=frozenset, names=_SETS))
