"""A new memory that others overtook on its way: made anew from the request that was kept.

docs/spec/5-log.md, Rules a device keeps. A device that was away wrote a memory, and others wrote
before it came back: what it had sent can never be accepted. Nothing of that memory is in the log,
so it is written on top of what is, with the same id and times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.freshness import live_grants
from coffret.flows.keys import grant_wraps
from coffret.flows.settled import sealed_by_default
from coffret.flows.visibility import hidden
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import PUT, Entry
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.records.seal import Stamp, make_record, to_memory, written_memory
from coffret_vault.store import StoredRecord

if TYPE_CHECKING:
    from coffret.flows.keys import Opened
    from coffret.flows.state import VaultState

    Wrap = tuple[bytes, bytes, int, bytes]


class Anew(msgspec.Struct, frozen=True):
    """The entry, the record and the wraps that write it."""

    entry: Entry
    row: StoredRecord
    wraps: tuple[Wrap, ...]


def anew(state: VaultState, opened: Opened) -> Anew:
    """The memory under a fresh key, for whom it is shared with by now.

    What the vault keeps sealed by now is sealed, whatever it was to be before.
    """
    header, random = opened.header, state.ambient.random
    fields = to_memory(header, opened.payload).fields()
    if sealed_by_default(state):
        fields = hidden(fields)
    times = header.created, header.updated
    stamp = Stamp(state.account_id, header.memory_id, 1, 1, OWNER, *times)
    key = generate_key(random)
    record = make_record(stamp, fields, key, state.owner_wrapping(), random=random)
    memory = written_memory(stamp, fields)
    entry = Entry(
        account_id=state.account_id,
        kind=PUT,
        subject=stamp.memory_id,
        version=stamp.version,
        digest=record.digest,
        author=OWNER,
        time=stamp.updated,
    )
    wraps = grant_wraps(state, live_grants(state), memory, stamp, key)
    return Anew(entry, StoredRecord(stamp.memory_id, stamp.version, record), tuple(wraps))
