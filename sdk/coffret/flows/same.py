"""Whether a memory that is to be written is there already, so that writing it again is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.spoilt import current_memory
from coffret_vault.errors import ConflictError, FormatError, InputError
from coffret_vault.formats.layout import parse_id
from coffret_vault.records.memory import to_micros

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from coffret.flows.memories import NewMemory
    from coffret.flows.state import VaultState
    from coffret.flows.written import Written
    from coffret_vault.records.memory import Memory


TAKEN = "there is a memory with that id already, and it says something else"
_FORGOTTEN = "a memory with that id was forgotten, and an id is used once"
_ID = 16


def chosen_id(memory_id: str | bytes | None) -> bytes | None:
    """The id that a caller chose for a new memory; None if that is left to us.

    Raises:
        InputError: it is not a UUID.
    """
    if memory_id is None or (isinstance(memory_id, bytes) and len(memory_id) == _ID):
        return memory_id
    try:
        return parse_id(str(memory_id).strip().lower())
    except FormatError:
        message = "a memory's id is a UUID with hyphens"
        raise InputError(message) from None


def chosen_ids(memories: Sequence[NewMemory]) -> list[bytes | None]:
    """The ids that were chosen for these, in their order.

    Raises:
        InputError: an id is none, or is that of two of them.
    """
    found = [chosen_id(new.memory_id) for new in memories]
    given = [name for name in found if name is not None]
    if len(set(given)) < len(given):
        message = "two of the memories have one id"
        raise InputError(message)
    return found


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
    found = current_memory(state, identifier, memory, record)
    return found if says_the_same(found, wanted, new) else None


def says_the_same(found: Memory, wanted: Memory, new: NewMemory) -> bool:
    """Whether one memory is what would be written, as far as was asked (:func:`same_memory`)."""
    open_to = found.sealed if new.fields.sealed is None else new.fields.sealed
    meant = msgspec.structs.replace(wanted.fields(), sealed=open_to)
    return found.fields() == meant and same_creation(new.created, found)


def same_creation(asked: datetime | None, found: Memory) -> bool:
    """Whether a memory came to be when its writer says so, if they do.

    As it is written: without a zone it is UTC, not before 1970, and not later than the writing.
    """
    if asked is None:
        return True
    wanted, there = max(0, to_micros(asked)), to_micros(found.created)
    return wanted == there or (wanted > there and found.created == found.updated)


def taken(state: VaultState, identifier: bytes) -> ConflictError:
    """Why nothing else can be written with this id, which is taken."""
    memory = state.store.state(identifier)
    return ConflictError(_FORGOTTEN if memory is not None and memory.deleted else TAKEN)


class OvertakenError(ConflictError):
    """A memory with one of these ids was written in between."""


class Chosen:
    """The memories among many whose ids their caller chose: some may be there already.

    So may one that goes out alone: where others overtake it, it is written anew by whatever
    process of this device comes first (:mod:`coffret.flows.overtaken`).
    """

    def __init__(self, state: VaultState, memories: Sequence[NewMemory]) -> None:
        """Look at what is to be written.

        Raises:
            InputError: an id is none, or is that of two of them.
        """
        self._state = state
        named = zip(chosen_ids(memories), memories, strict=True)
        self._asked = {name: new for name, new in named if name is not None}
        self.there: dict[bytes, Memory] = {}
        """What was found to be there, by its id."""

    def __bool__(self) -> bool:
        return bool(self._asked)

    def missing(self, batch: Sequence[Written]) -> list[Written]:
        """Those of a batch that are not there yet.

        Raises:
            ConflictError: one is there and says something else, or was forgotten.
        """
        alone = len(batch) == 1
        return [item for item in batch if not self._is_there(item, alone=alone)]

    def _is_there(self, item: Written, *, alone: bool) -> bool:
        identifier = item.stamp.memory_id
        new = self._asked.get(identifier)
        if (new is None and not alone) or self._state.store.state(identifier) is None:
            return False
        if new is None:  # nobody else knows the id: another process of this device wrote it anew
            self.there[identifier] = item.memory
            return True
        found = same_memory(self._state, identifier, item.memory, new)
        if found is None:
            raise taken(self._state, identifier)
        self.there[identifier] = found
        return True

    def check_missing(self, batch: Sequence[Written]) -> None:
        """Whether all of a batch is still to be written.

        Raises:
            OvertakenError: it is not.
        """
        named, alone = (item.stamp.memory_id for item in batch), len(batch) == 1
        if any(self._state.store.state(name) for name in named if alone or name in self._asked):
            raise OvertakenError
