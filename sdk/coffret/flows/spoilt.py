"""Current versions that lie on this device and do not open any more.

Each of them opened when it was kept (docs/spec/5-log.md, Rules a device keeps), and is compared
with the log's digest whenever it is read. That speaks of what is sealed, and not of how the
memory's key is wrapped: so where one does not open, its wrap was changed in this device's folder.
It is worth nothing like that. It is named and taken away, and the next sync fetches it again, and
opens it before it is kept; everything else goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.keys import memory_of, open_record
from coffret_vault.errors import OpenError, StoreAlteredError
from coffret_vault.formats.layout import id_text
from coffret_vault.store import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coffret.flows.keys import Opened
    from coffret.flows.state import VaultState
    from coffret_vault.formats.memory import Record
    from coffret_vault.log.replay import MemoryState
    from coffret_vault.records.memory import Memory

_NAMED = 20
_HINT = "Sync this device: it fetches them again. See that nobody else can write to its folder."


class SpoiltError(StoreAlteredError):
    """The keys of memories were changed in this device's folder, not by this vault."""


def open_current(state: VaultState, memory_id: bytes, version: int, record: Record) -> Opened:
    """Open the record of a current version that lies here.

    Raises:
        SpoiltError: it does not open. It is taken away, to be fetched again.
    """
    try:
        return open_record(state, record)
    except OpenError:
        raise spoilt(state, [StoredRecord(memory_id, version, record)]) from None


def current_memory(
    state: VaultState, memory_id: bytes, memory: MemoryState, record: Record
) -> Memory:
    """A memory's current version that lies here, as the owner sees it. Errors as above."""
    return memory_of(open_current(state, memory_id, memory.current, record), memory)


def spoilt(state: VaultState, rows: Sequence[StoredRecord]) -> SpoiltError:
    """What is raised where these do not open; they are taken away."""
    state.store.take_away(rows)
    message = (
        "the keys of memories were changed in this device's folder, not by this vault; they are "
        f"left out until they are fetched again: {_names(rows)}"
    )
    return SpoiltError(message, hint=_HINT)


def _names(rows: Iterable[StoredRecord]) -> str:
    names = list(dict.fromkeys(id_text(row.memory_id) for row in rows))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
