"""A new memory that others overtook on its way: made anew from the request that was kept.

docs/spec/5-log.md, Rules a device keeps. A device that was away wrote a memory, and others wrote
before it came back: what it had sent can never be accepted. Nothing of that memory is in the log,
so it is written on top of what is, with the same id and times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.spoilt import current_memory
from coffret.flows.visibility import hidden
from coffret.flows.written import seal_fields
from coffret_vault.formats.author import OWNER
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.records.seal import Stamp, to_memory

if TYPE_CHECKING:
    from coffret.flows.state import VaultState
    from coffret.flows.written import Written
    from coffret_vault.formats.memory import Header, Payload


def anew(state: VaultState, header: Header, payload: Payload, *, undecided: bool = True) -> Written:
    """The memory under a fresh key; what the vault keeps sealed by the time that it goes out is.

    Unless its owner decided what it shows: that it is ``undecided`` is what is not known otherwise.
    """
    fields = to_memory(header, payload).fields()
    times = header.created, header.updated
    stamp = Stamp(state.account_id, header.memory_id, 1, 1, OWNER, *times)
    key, now = generate_key(state.ambient.random), state.ambient.now()
    # Who is given the key is decided now, so the entry is of now if a clock was ahead when it was
    # said: else a grant that ends until then would have ended before there was the key (spec 6).
    time = min(stamp.updated, now)
    return seal_fields(state, stamp, fields, key, undecided=undecided, time=time)


def stands(state: VaultState, header: Header, payload: Payload) -> bool:
    """Whether the memory is in the vault, and says what was to be written.

    That something has its id says nothing: a server has seen the id, and may tell it to an app.
    """
    identifier = header.memory_id
    memory = state.store.state(identifier)
    record = state.store.record(identifier, memory.current) if memory else None
    if memory is None or record is None:
        return False
    there = current_memory(state, identifier, memory, record)
    return hidden(there.fields()) == hidden(to_memory(header, payload).fields())
