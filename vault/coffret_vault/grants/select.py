"""Which memories a selector means. docs/spec/6-grants.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import IMPORTANCE_ONE
from coffret_vault.records.memory import to_micros

if TYPE_CHECKING:
    from coffret_vault.formats.memory import Header
    from coffret_vault.formats.sharing import Selector
    from coffret_vault.records.memory import Memory


def matches(selector: Selector, memory: Memory) -> bool:
    """Whether the memory fits every dimension that the selector names."""
    if selector.everything:
        return True
    importance = -1 if memory.importance is None else round(memory.importance * IMPORTANCE_ONE)
    return (
        (not selector.tags or not selector.tags.isdisjoint(memory.tags))
        and (not selector.types or memory.type in selector.types)
        and (not selector.ids or parse_id(memory.id) in selector.ids)
        and (selector.importance is None or importance >= selector.importance)
        and (selector.since is None or to_micros(memory.updated) >= selector.since)
    )


def covers(selector: Selector, memory: Memory) -> bool:
    """Whether a grant with this selector may have been given the memory, as it stands.

    Where it names memories, those: that they matched what was asked for was seen when it was made.
    """
    if selector.ids:
        return parse_id(memory.id) in selector.ids
    return matches(selector, memory)


def matches_unopened(selector: Selector, header: Header) -> bool | None:
    """As :func:`matches`, from a header alone; None where the envelope has to be opened.

    A sealed memory keeps its tags and importance inside, and every memory its type.
    """
    if selector.everything:
        return True
    shown = not header.sealed
    fits = (
        (not selector.ids or header.memory_id in selector.ids)
        and (selector.since is None or header.updated >= selector.since)
        and not (shown and selector.tags and selector.tags.isdisjoint(header.tags))
        and not (
            shown
            and selector.importance is not None
            and (header.importance is None or header.importance < selector.importance)
        )
    )
    if not fits:
        return False
    inside = selector.types or (
        header.sealed and (selector.tags or selector.importance is not None)
    )
    return None if inside else True
