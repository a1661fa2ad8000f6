"""Which memories a grant may hold the keys of, whatever a server says. docs/adr/0031.

What a grant was given is known to the device that gave it. Another device has it from the server,
which cannot add to it (``coffret.flows.wraps``) but can leave out. So where it matters that nothing
is left out, whatever the grant's statement covers counts as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.freshness import NEED_KEYS, is_stale, live_grants
from coffret.flows.keys import open_record
from coffret_vault.errors import OpenError
from coffret_vault.formats.sharing import UPDATE
from coffret_vault.grants.select import matches
from coffret_vault.records.seal import to_memory

if TYPE_CHECKING:
    from coffret.flows.state import VaultState
    from coffret_vault.log.replay import MemoryState
    from coffret_vault.store import GrantRow


def may_be_exposed(state: VaultState) -> list[bytes]:
    """As :func:`~coffret.flows.freshness.exposed`, and what apps may be able to write to besides.

    For when a grant is over, by its owner's word or by its time: a server may hide from this device
    that another grant holds what this one held. The device that gave it knows, and looks at every
    sync.
    """
    writing = [row for row in live_grants(state) if UPDATE in row.statement().scopes]
    if not writing:
        return []
    return [
        memory_id
        for memory_id, memory in state.store.states()
        if is_stale(state, memory)
        and any(may_hold(state, row, memory_id, memory) for row in writing)
    ]


def may_hold(state: VaultState, row: GrantRow, memory_id: bytes, memory: MemoryState) -> bool:
    """Whether a grant holds a memory's key, or held an older one, or covers it as it stands."""
    if not row.statement().scopes & NEED_KEYS:
        return False
    if row.statement().grant_id in state.store.grants.holders(memory_id):
        return True
    return covers(state, row, memory_id, memory)


def covers(state: VaultState, row: GrantRow, memory_id: bytes, memory: MemoryState) -> bool:
    """Whether a grant's statement covers a memory as it stands."""
    selector = row.statement().selector
    if selector.ids:
        return memory_id in selector.ids
    if selector.everything:
        return True
    record = state.store.record(memory_id, memory.current)
    if record is None:
        return False  # there is nothing of it here that could be written again
    try:
        opened = open_record(state, record)
    except OpenError:
        return True
    return matches(selector, to_memory(opened.header, opened.payload))
