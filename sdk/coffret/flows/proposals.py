"""What apps wrote and the owner has not decided, as it is shown; and which of it is meant."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.keys import open_memory
from coffret.flows.memories import current, find
from coffret_vault.errors import ConflictError, InputError, NotFoundError, OpenError
from coffret_vault.formats.layout import id_text
from coffret_vault.records.memory import Memory

if TYPE_CHECKING:
    from coffret.flows.state import VaultState
    from coffret_vault.log.replay import MemoryState, Proposal


CHANGED = "the memory was changed in between; look at it again"


class Pending(msgspec.Struct, frozen=True):
    """Something an app wrote that waits for the owner.

    Attributes:
        memory_id: which memory.
        version: which version of it.
        app_id: the app that wrote it.
        deletion: it proposes to delete the memory.
        proposed: the memory as the app would have it; None for a deletion, or if it does not open.
        current: the memory as it stands; None when the app created it.
    """

    memory_id: str
    version: int
    app_id: str
    deletion: bool
    proposed: Memory | None
    current: Memory | None


Proposed = str | Pending
"""What waits: by its memory's id, or as somebody was shown it."""


def pending(state: VaultState) -> list[Pending]:
    """Everything that waits for the owner, oldest first."""
    found = [
        (item.leaf, _pending(state, memory_id, memory, item))
        for memory_id, memory in state.store.states(pending=True)
        for item in memory.pending
    ]
    return [item for _, item in sorted(found, key=lambda pair: pair[0])]


def _pending(state: VaultState, memory_id: bytes, memory: MemoryState, item: Proposal) -> Pending:
    now = current(state, id_text(memory_id)) if memory.current else None
    return _beside(state, memory_id, memory, item, now)


def _beside(
    state: VaultState, memory_id: bytes, memory: MemoryState, item: Proposal, now: Memory | None
) -> Pending:
    """A proposal as it is shown beside ``now``."""
    record = None if item.deletion else state.store.record(memory_id, item.version)
    proposed = None
    if record is not None:
        with suppress(OpenError):
            proposed = open_memory(state, record, memory)
    named = id_text(memory_id), item.version, id_text(item.app_id)
    return Pending(*named, item.deletion, proposed, now)


def chosen(
    state: VaultState, proposal: Proposed, version: int | None
) -> tuple[bytes, MemoryState, Proposal]:
    """Which proposal is meant, with its memory.

    Raises:
        NotFoundError: there is no such memory, or nothing of it waits.
        ConflictError: several versions of it wait, and none is named; or others than was shown.
        InputError: that is no id, or a version is named beside what was shown in another one.
    """
    if not isinstance(proposal, Pending):
        identifier, memory = find(state, proposal)
        return identifier, memory, _named(memory, version)
    if version not in {None, proposal.version}:
        message = "what was shown is of another version than the one that is named beside it"
        raise InputError(message)
    identifier, memory = find(state, proposal.memory_id)
    if memory.pending and all(item.version != proposal.version for item in memory.pending):
        raise ConflictError(CHANGED)
    return identifier, memory, _named(memory, proposal.version)


def _named(memory: MemoryState, version: int | None) -> Proposal:
    waiting = memory.pending
    if version is None and len(waiting) > 1:
        message = "several versions of this memory wait: say which one, by its number"
        raise ConflictError(message)
    for item in waiting:
        if version in {None, item.version}:
            return item
    message = "nothing of this memory waits for a decision"
    raise NotFoundError(message)


def check_as_shown(
    state: VaultState, proposal: Proposed, identifier: bytes, memory: MemoryState, item: Proposal
) -> None:
    """See that what waits says what the owner was shown, if it is given as that was.

    An id says nothing of it: where another part of the program syncs as well, something else may
    wait by now. So what was shown without words, because they did not open, is not taken with any.

    Raises:
        ConflictError: it does not.
    """
    if not isinstance(proposal, Pending):
        return
    now = _beside(state, identifier, memory, item, proposal.current)
    if now != proposal:
        raise ConflictError(CHANGED)


def looked_at(proposal: Proposed, memory: MemoryState) -> int:
    """Beside which version it was looked at, 0 for none; by its id, beside the one that is here."""
    if isinstance(proposal, Pending):
        return proposal.current.version if proposal.current else 0
    return memory.current
