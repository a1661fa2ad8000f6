"""Fresh keys for many memories, in as many appends as that takes. docs/spec/6-grants.md."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.append import append
from coffret.flows.batches import WRAP_BYTES, batches
from coffret.flows.freshness import standing_grants
from coffret.flows.memories import next_version
from coffret.flows.spoilt import SpoiltError
from coffret.flows.sync import silent
from coffret.flows.written import put_change
from coffret_vault.errors import ConflictError, InputError, NotFoundError
from coffret_vault.formats.layout import id_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress
    from coffret.flows.written import Change, Written

_LOOK = "Look at them, write them anew and forget the old ones, or end the grants that hold them."
_LEAF = 256
"""More than a log entry and the lengths around a record take."""


class _NothingToWriteError(Exception):
    """None of some memories can be written again."""


def rekey_all(
    state: VaultState,
    memories: Sequence[bytes],
    *,
    without: bytes | None = None,
    progress: Progress = silent,
) -> Flow[None]:
    """As :func:`rekey_each`, and say so afterwards if some kept their keys.

    Raises:
        ConflictError: some cannot be written again; all others were.
    """
    left = yield from rekey_each(state, memories, without=without, progress=progress)
    if left:
        names = ", ".join(map(id_text, left))
        message = f"the others have fresh keys, but these cannot be written again: {names}"
        raise ConflictError(message, hint=_LOOK)


def rekey_each(
    state: VaultState,
    memories: Sequence[bytes],
    *,
    without: bytes | None = None,
    progress: Progress = silent,
) -> Flow[list[bytes]]:
    """Write these memories again, unchanged, under fresh keys, in batches that are kept whole.

    The grants that hold them get the new keys, except the grant ``without``, which loses them.

    Returns:
        Those that cannot be written again and keep their keys. They keep no other from it.
    """
    left: list[bytes] = []
    done = 0
    for batch in batches(memories, rewritten_size(state)):
        left += yield from _rekey(state, batch, without)
        done += len(batch)
        progress("keys", done, len(memories))
    return left


def _rekey(state: VaultState, batch: Sequence[bytes], without: bytes | None) -> Flow[list[bytes]]:
    left: list[bytes] = []

    def describe() -> Change:
        left.clear()
        written = list(_written(state, batch, left))
        if not written:
            raise _NothingToWriteError
        change = put_change(state, written)
        if without is None:
            return change
        return msgspec.structs.replace(
            change,
            wraps=tuple(wrap for wrap in change.wraps if wrap[0] != without),
            unwraps=tuple((without, item.stamp.memory_id) for item in written),
        )

    with suppress(_NothingToWriteError):
        yield from append(state, describe)
    return left


def _written(state: VaultState, batch: Sequence[bytes], left: list[bytes]) -> Iterator[Written]:
    """What can be written again; ``left`` gets what cannot. What is forgotten needs no key."""
    for memory_id in batch:
        memory = state.store.state(memory_id)
        if memory is None or memory.deleted:
            continue
        try:
            yield next_version(state, memory_id, lambda fields: fields, fresh=True)
        except (InputError, NotFoundError, SpoiltError):
            left.append(memory_id)


def rewritten_size(state: VaultState) -> Callable[[bytes], int]:
    """Tells how many bytes a memory that is written again takes in an append, with its wraps."""
    standing = standing_grants(state)

    def size(memory_id: bytes) -> int:
        memory = state.store.state(memory_id)
        record = None if memory is None else state.store.record(memory_id, memory.current)
        sealed = () if record is None else (record.header, record.envelope, record.wrap)
        wraps = len(state.store.grants.holders(memory_id)) + standing
        return _LEAF + sum(map(len, sealed)) + wraps * WRAP_BYTES

    return size
