"""What waits on this device goes out before anything new: docs/adr/0016.

First the change that was sent and not answered (:mod:`coffret.flows.unsent`), then the memories
that were said behind it (:mod:`coffret.flows.drafts`), in the order in which they were said.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.append import append, settle_last
from coffret.flows.batches import Sealing
from coffret.flows.drafts import (
    as_waiting,
    drafts,
    give_up_drafts,
    ids_of_drafts,
    keep_draft,
    let_go_of_drafts,
    names_of_drafts,
    without_drafts,
)
from coffret.flows.freshness import standing_grants
from coffret.flows.hints import BEGUN_WAITS, NOT_KEPT, WAITS, said_of_another
from coffret.flows.http import LogMovedError
from coffret.flows.overtaken import anew, stands
from coffret.flows.same import TAKEN, says_the_same
from coffret.flows.unkept import KEYS_CHANGED, OVERTAKEN
from coffret.flows.unsent import (
    REFUSED,
    brings_drafts,
    is_waiting,
    still_waiting,
    waiting,
)
from coffret.flows.visibility import look_before_again
from coffret.flows.written import put_change
from coffret_vault.errors import ConflictError, NetworkError, ServerError
from coffret_vault.formats.layout import id_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret.flows.drafts import Draft
    from coffret.flows.http import Flow
    from coffret.flows.memories import NewMemory
    from coffret.flows.state import VaultState
    from coffret.flows.unkept import Unkept
    from coffret.flows.written import Change, Written
    from coffret_vault.records.memory import Memory

SAID = (
    "The memory is kept on this device, and goes out with the next sync, or the next memory, that "
    "reaches the server; coffret unkept shows it until then."
)
_STILL = "What waits on this device to be written waits still: coffret unkept shows it."


def count_waiting(state: VaultState) -> int:
    """How many changes wait on this device for the server. Needs no keys.

    The memories of a batch that was sent count each, as before, and the batch that brings them not.
    """
    said = len(names_of_drafts(state))
    return said + int(is_waiting(state) and not (said and brings_drafts(state)))


def all_waiting(state: VaultState) -> list[Unkept]:
    """The changes that wait on this device, as their owner is told.

    Raises:
        StoreAlteredError: one was not noted by this vault; it is dropped.
    """
    sent = still_waiting(state)
    ids = _ids(sent)
    return sent + [item for item in as_waiting(state) if item.id not in ids]


def new_that_wait(state: VaultState) -> list[Memory]:
    """The new memories that wait on this device, sent or not: nobody else may have them.

    Raises:
        StoreAlteredError: as for :func:`all_waiting`.
    """
    return [memory for item in all_waiting(state) for memory in item.memories if _is_new(memory)]


def _is_new(memory: Memory) -> bool:
    return memory.version == 1


def take_back(state: VaultState, identifier: str) -> int:
    """Let go of a memory that waits to be written, by the id that it is to have; how many.

    None where it is in the change that was sent: the server may have it. Another process of this
    device looks whether it waits still when it has put it into that, and so does this one here when
    it waits no longer: one of them sees the other.
    """
    if identifier in _ids(still_waiting(state)):
        return 0
    found = [draft.memory_id() for draft in drafts(state).values() if draft is not None]
    names = without_drafts(state, (name for name in found if id_text(name) == identifier))
    let_go_of_drafts(state, names)
    return 0 if identifier in _ids(still_waiting(state)) else len(names)


def _ids(sent: list[Unkept]) -> set[str]:
    return {memory.id for item in sent for memory in item.memories}


@contextmanager
def kept_as_said(state: VaultState, new: NewMemory, seal: Callable[[], Written]) -> Iterator[None]:
    """Keep a new memory as words where the server is away before it can be sent; and say so.

    Raises:
        ConflictError: something else waits to be written with the id that was chosen for it.
    """
    try:
        yield
    except REFUSED:
        raise
    except (NetworkError, ServerError) as error:
        if state.is_locked:  # a session that was ended locks its device
            raise
        written = seal()
        own = "" if error.hint in {NOT_KEPT, WAITS, BEGUN_WAITS, _STILL} else error.hint
        if _is_on_its_way(state, written, new):
            said = BEGUN_WAITS
        else:
            said = SAID if keep_draft(state, written, new) else NOT_KEPT
        error.hint = f"{own} {said}".lstrip()
        raise


def _is_on_its_way(state: VaultState, written: Written, new: NewMemory) -> bool:
    """Whether the change that was sent and not answered is to begin this memory.

    Raises:
        ConflictError: it begins something else with the id that was chosen for it.
    """
    begun, identifier = waiting(state), written.stamp.memory_id
    if not begun or (new.memory_id is not None and begun != identifier):
        return False
    found = [memory for item in still_waiting(state) for memory in item.memories]
    if any(says_the_same(memory, written.memory, new) for memory in found):
        return True
    if found and new.memory_id is not None:
        raise ConflictError(TAKEN)
    return begun == identifier


def settle(state: VaultState) -> Flow[frozenset[bytes]]:
    """Send what waits on this device, or find out what became of it.

    Returns:
        The ids of the memories that it began and that the server has now.

    Raises:
        NetworkError: the server is still away; what waits stays.
        TrustError: the server says that the log has grown, and shows nothing of it.
        StoreAlteredError: what waits is not this vault's; it is dropped, after a sync.
    """
    said = ids_of_drafts(state)
    begun = yield from settle_last(state)
    arrived = said and said - ids_of_drafts(state)  # with the change that waited
    written = arrived | (yield from _write_drafts(state))
    return written | {begun} if begun else written


def _write_drafts(state: VaultState) -> Flow[frozenset[bytes]]:
    """Write what was said while the server was away; the ids of what is in the log now."""
    if state.is_locked or not names_of_drafts(state):
        return frozenset()
    found = drafts(state)
    give_up_drafts(state, {name: None for name, item in found.items() if not item}, KEYS_CHANGED)
    ours = {name: item for name, item in found.items() if item is not None}
    names = {item.memory_id(): name for name, item in ours.items()}
    missing = [item for item in ours.values() if state.store.state(item.memory_id()) is None]
    try:
        yield from look_before_again(state, (item.header for item in missing))
        sealing = Sealing((_sealed(state, item) for item in missing), standing_grants(state))
        while batch := sealing.take():
            refusal = yield from _write(state, batch)
            left = (names[item.stamp.memory_id] for item in batch if refusal)
            give_up_drafts(state, {name: found[name] for name in left}, refusal)
    except (NetworkError, ServerError) as error:
        error.hint = _STILL
        raise
    there = {memory_id for memory_id in names if state.store.state(memory_id) is not None}
    stand = {memory_id for memory_id in there if stands(state, *ours[names[memory_id]].parsed())}
    let_go_of_drafts(state, (names[memory_id] for memory_id in stand))
    others = (names[memory_id] for memory_id in there - stand)  # something else has these ids
    give_up_drafts(state, {name: ours[name] for name in others}, OVERTAKEN)
    return frozenset(stand)


def _sealed(state: VaultState, draft: Draft) -> Written:
    return anew(state, *draft.parsed(), undecided=draft.undecided)


def _write(state: VaultState, batch: list[Written]) -> Flow[str]:
    """Write these, but for those that another process of this device wrote meanwhile, or let go of.

    Returns:
        Why the server will not take those that are left; nothing if it did.
    """

    def describe() -> Change:
        left = ids_of_drafts(state)  # its owner can take back what was not sent
        batch[:] = [
            item
            for item in batch
            if item.stamp.memory_id in left and state.store.state(item.stamp.memory_id) is None
        ]
        if not batch:
            raise ConflictError
        change = put_change(state, batch)
        # They go in the step that stores them: what becomes of the memories later is no loss.
        gone = without_drafts(state, (item.stamp.memory_id for item in batch))
        return msgspec.structs.replace(change, meta=gone)

    try:
        with said_of_another():
            yield from append(state, describe)
    except LogMovedError:
        raise
    except REFUSED as refused:
        return refused.code
    return ""
