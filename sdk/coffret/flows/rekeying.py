"""Fresh keys for many memories, in as many appends as that takes. docs/spec/6-grants.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.batches import batches
from coffret.flows.freshness import live_grants
from coffret.flows.memories import rekey
from coffret.flows.sync import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress

_LEAF = 256
"""More than a log entry and the lengths around a record take."""
_WRAP = 192
"""More than one key for one grant takes: 113 bytes of wrap, two ids and a number."""


def rekey_all(
    state: VaultState,
    memories: Sequence[bytes],
    *,
    without: bytes | None = None,
    progress: Progress = silent,
) -> Flow[None]:
    """Write these memories again under fresh keys, in batches that are each kept whole.

    See :func:`coffret.flows.memories.rekey`.
    """
    done = 0
    for batch in batches(memories, rewritten_size(state)):
        yield from rekey(state, batch, without=without)
        done += len(batch)
        progress("keys", done, len(memories))


def rewritten_size(state: VaultState) -> Callable[[bytes], int]:
    """Tells how many bytes a memory that is written again takes in an append, with its wraps."""
    standing = sum(row.statement().standing for row in live_grants(state))

    def size(memory_id: bytes) -> int:
        memory = state.store.state(memory_id)
        record = None if memory is None else state.store.record(memory_id, memory.current)
        sealed = () if record is None else (record.header, record.envelope, record.wrap)
        wraps = len(state.store.grants.holders(memory_id)) + standing
        return _LEAF + sum(map(len, sealed)) + wraps * _WRAP

    return size
