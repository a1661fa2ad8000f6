"""Write many memories at once, as the owner."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from coffret.flows.append import Append, append
from coffret.flows.batches import Sealing
from coffret.flows.freshness import standing_grants
from coffret.flows.http import MSGPACK, Request, encode_msgpack
from coffret.flows.memories import NewMemory, seal_new
from coffret.flows.same import Chosen, OvertakenError
from coffret.flows.sync import silent
from coffret.flows.visibility import look
from coffret.flows.waiting import settle
from coffret.flows.written import Change, Written, put_change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress
    from coffret_vault.records.memory import Memory


def remember_many(
    state: VaultState, memories: Iterable[NewMemory], progress: Progress = silent
) -> Flow[list[Memory]]:
    """Write many memories, in batches that are each kept whole.

    While a batch is under way the next is sealed; it is put into the log when that is kept. What
    has an id of the caller's own and is there already is not written again.

    Raises:
        InputError: one of them cannot be a memory; the batches before its own are kept.
        ConflictError: there is a memory with the id of one of them that says something else; the
            batches before its own are kept.
    """
    everything = list(memories)
    chosen = Chosen(state, everything)
    if chosen:
        yield from settle(state)  # some may be on their way
    done: list[Memory] = []
    sealed = yield from look(state, (item.fields for item in everything))
    written = (seal_new(state, item, sealed=sealed) for item in everything)
    sealing = Sealing(written, standing_grants(state))
    while batch := sealing.take():
        follows = len(done) + len(batch) < len(everything)
        submit = partial(_create_batch, meanwhile=sealing.ahead if follows else None)
        done += yield from _write_missing(state, chosen, batch, submit)
        progress("memories", len(done), len(everything))
    return done


def _create_batch(body: Append, meanwhile: Callable[[], None] | None = None) -> Request:
    path, data = "/memory-blobs/batch", encode_msgpack(body)
    return Request("POST", path, data, media=MSGPACK, by_head=True, meanwhile=meanwhile)


def _write_missing(
    state: VaultState, chosen: Chosen, batch: list[Written], submit: Callable[[Append], Request]
) -> Flow[list[Memory]]:
    """Write what of a batch is not there yet, of which others may write some meanwhile.

    What was tried is tried again as it stands by then, with what its keys were wrapped for.
    """
    missing = chosen.missing(batch)
    while missing:
        with suppress(OvertakenError):
            yield from append(state, partial(_describe, state, chosen, missing), submit)
            break
        missing = chosen.missing(missing)
    written = {item.stamp.memory_id: item.memory for item in missing}
    names = [item.stamp.memory_id for item in batch]
    return [written.get(name) or chosen.there[name] for name in names]


def _describe(state: VaultState, chosen: Chosen, missing: list[Written]) -> Change:
    chosen.check_missing(missing)
    return put_change(state, missing)
