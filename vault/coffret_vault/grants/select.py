"""Which memories a selector means. docs/spec/6-grants.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import IMPORTANCE_ONE
from coffret_vault.records.memory import to_micros

if TYPE_CHECKING:
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
