"""Whether a memory that is to be written is there already, so that writing it again is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.keys import open_memory
from coffret_vault.errors import FormatError, InputError
from coffret_vault.formats.layout import parse_id

if TYPE_CHECKING:
    from coffret.flows.memories import NewMemory
    from coffret.flows.state import VaultState
    from coffret_vault.records.memory import Memory


def chosen_id(memory_id: str | None) -> bytes | None:
    """The id that a caller chose for a new memory; None if that is left to us.

    Raises:
        InputError: it is not a UUID.
    """
    if memory_id is None:
        return None
    try:
        return parse_id(memory_id.strip().lower())
    except FormatError:
        message = "a memory's id is a UUID with hyphens"
        raise InputError(message) from None


def same_memory(
    state: VaultState, identifier: bytes, wanted: Memory, new: NewMemory
) -> Memory | None:
    """The current memory with this id, if it says what would be written; None if not.

    Args:
        state: the vault.
        identifier: which memory.
        wanted: what would be written.
        new: what was asked for: a time of creation counts only if it was given, and so does
            whether the title shows, which the vault may have settled otherwise since.
    """
    memory = state.store.state(identifier)
    record = state.store.record(identifier, memory.current) if memory else None
    if memory is None or record is None:
        return None
    found = open_memory(state, record, memory)
    open_to = found.sealed if new.fields.sealed is None else new.fields.sealed
    meant = msgspec.structs.replace(wanted.fields(), sealed=open_to)
    alike = found.fields() == meant and new.created in {None, found.created}
    return found if alike else None
