"""Settle something for the whole vault, and bring what is there into line with it. ADR 0023."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.append import Append, append
from coffret.flows.batches import batches
from coffret.flows.http import Request, encode_json
from coffret.flows.memories import rewrite
from coffret.flows.rekeying import rewritten_size
from coffret.flows.settled import settled, settled_meta
from coffret.flows.signup import settings_entry
from coffret.flows.sync import silent, sync
from coffret.flows.visibility import hidden
from coffret.flows.waiting import settle
from coffret.flows.written import Change
from coffret_vault.errors import NotFoundError
from coffret_vault.formats.memory import parse_header
from coffret_vault.log.settled import Settled

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress
    from coffret_vault.formats.settings import Settings


def set_settings(state: VaultState, *, sealed: bool) -> Flow[Settings]:
    """Settle for the vault whether new memories show their titles; nothing if it is so already.

    Raises:
        NetworkError: the answer was lost; it is sent again before anything else is written.
    """
    yield from settle(state)
    yield from sync(state)
    if settled(state).settings.sealed == sealed:
        return settled(state).settings

    def describe() -> Change:
        before = settled(state)
        switches = msgspec.structs.replace(before.settings, sealed=sealed)
        after = Settled(before.version + 1, switches)
        entry = settings_entry(state.account_id, after, state.ambient.now())
        return Change(entries=(entry,), meta=settled_meta(after))

    yield from append(state, describe, _submit)
    return settled(state).settings


def _submit(body: Append) -> Request:
    return Request("PUT", "/accounts/me/settings", encode_json({"append": body}))


def shown(state: VaultState) -> list[bytes]:
    """The memories whose current versions show title, importance and tags."""
    return [
        row.memory_id
        for row in state.store.current_records()
        if not parse_header(row.record.header).sealed
    ]


def seal_existing(state: VaultState, progress: Progress = silent) -> Flow[int]:
    """Write every memory that shows its title again, sealed, in batches that are each kept whole.

    What the server has of older versions stays as it is there.

    Args:
        state: the vault.
        progress: called after each batch.

    Returns:
        How many were written. Interrupted, it goes on with the rest when called again.

    Raises:
        NotFoundError: the server says that it has not what its log names.
    """
    yield from settle(state)
    yield from sync(state)
    done = 0
    while waiting := shown(state):
        total = done + len(waiting)
        for batch in batches(waiting, rewritten_size(state)):
            try:
                yield from rewrite(state, batch, hidden)
            except NotFoundError:
                if all(_is_here(state, memory_id) for memory_id in batch):
                    raise  # the server says so, and would say it for ever
                break  # another device deleted one of them: look again
            done += len(batch)
            progress("sealing", done, total)
    return done


def _is_here(state: VaultState, memory_id: bytes) -> bool:
    memory = state.store.state(memory_id)
    return memory is not None and memory.current > 0
