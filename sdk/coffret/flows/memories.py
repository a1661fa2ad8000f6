"""Write, change, delete, accept and reject memories, as the owner."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.append import Append, append
from coffret.flows.hints import said_not_kept
from coffret.flows.http import MSGPACK, Request, encode_msgpack
from coffret.flows.ids import given_id
from coffret.flows.keys import next_key, open_memory
from coffret.flows.moments import later_than
from coffret.flows.same import chosen_id, same_memory, taken
from coffret.flows.settled import is_confirmed, sealed_by_default
from coffret.flows.spoilt import current_memory, open_current
from coffret.flows.unkept import forget_said_again, names_of_unkept
from coffret.flows.unsent import digests_waiting
from coffret.flows.visibility import hidden, look, look_before
from coffret.flows.waiting import kept_as_said, settle
from coffret.flows.written import Change, Tries, Written, put_change, seal_fields
from coffret_vault.errors import (
    ConflictError,
    FormatError,
    NotFoundError,
)
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import Entry
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.records.marks import written_again
from coffret_vault.records.memory import Fields, Memory, checked, to_micros
from coffret_vault.records.seal import Stamp, to_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coffret.flows.http import Flow
    from coffret.flows.keys import Opened
    from coffret.flows.state import VaultState
    from coffret_vault.formats.author import Author
    from coffret_vault.formats.memory import Record
    from coffret_vault.log.replay import MemoryState

_CHANGED = "the memory was changed in between; look at it again"
_NOT_HERE = "this version is not on this device yet; sync first"


class NewMemory(msgspec.Struct, frozen=True):
    """A memory to be written: its fields, and its id and time of creation where they are given.

    ``memory_id`` is a UUID, as text or as its 16 bytes: who writes again with it, writes once.
    """

    fields: Fields
    memory_id: str | bytes | None = None
    created: datetime | None = None


def seal_new(state: VaultState, new: NewMemory, *, sealed: bool) -> Written:
    """Seal a new memory under a fresh key; whether it is ``sealed``, where its fields say nothing.

    That was asked of the vault a moment ago, and is again when the memory goes out.
    """
    now = state.ambient.now()
    created = now if new.created is None else max(0, min(to_micros(new.created), now))
    memory_id = chosen_id(new.memory_id) or state.ambient.new_id()
    stamp = Stamp(state.account_id, memory_id, 1, 1, OWNER, created, now)
    key = generate_key(state.ambient.random)
    undecided = new.fields.sealed is None and not sealed
    fields = checked(new.fields, sealed=sealed)
    return seal_fields(state, stamp, fields, key, undecided=undecided)


def remember(state: VaultState, new: NewMemory) -> Flow[Memory]:
    """Write one memory; it is durable on the server when this returns.

    Called again after its answer was lost, with the same fields, it gives the memory that it wrote
    then. With an id of the caller's own it can be called again whenever that is needed. Where the
    server is away before it could be sent, it is kept as it was said, and goes out later.

    Raises:
        InputError: the fields cannot be a memory.
        ConflictError: there is a memory with that id that says something else.
    """
    own = chosen_id(new.memory_id) or state.ambient.new_id()
    named = msgspec.structs.replace(new, memory_id=own)

    def seal() -> Written:
        return seal_new(state, named, sealed=sealed_by_default(state))

    with kept_as_said(state, new, seal):
        return (yield from _remember(state, own, named, new))


def _remember(state: VaultState, own: bytes, named: NewMemory, new: NewMemory) -> Flow[Memory]:
    """As :func:`remember`: what is ``named`` after its own id, where none was chosen."""
    sealed = yield from look(state, (new.fields,))
    written = [seal_new(state, named, sealed=sealed)]
    before = names_of_unkept(state)
    begun = yield from settle(state)
    for identifier in begun if new.memory_id is None else (own,):
        there = same_memory(state, identifier, written[0].memory, new)
        if there is not None:
            return there

    def describe() -> Change:
        # An id that nobody chose is there where another process of this device wrote it anew.
        if state.store.state(own) is not None:
            raise taken(state, own)
        return put_change(state, written)

    try:
        yield from append(state, describe, _create)
    except ConflictError:
        there = same_memory(state, own, written[0].memory, new)
        if there is None:
            raise
        return there
    forget_said_again(state, before, written[0].memory)
    return written[0].memory


def _create(body: Append) -> Request:
    return Request("POST", "/memory-blobs", encode_msgpack(body), media=MSGPACK, by_head=True)


def find(state: VaultState, memory_id: str) -> tuple[bytes, MemoryState]:
    """A memory that is not deleted, by its id.

    Raises:
        NotFoundError: there is none.
    """
    identifier = read_id(memory_id)
    memory = state.store.state(identifier)
    if memory is None or memory.deleted:
        raise NotFoundError
    return identifier, memory


def read_id(memory_id: str) -> bytes:
    """The 16 bytes of an id that a person gave.

    Raises:
        InputError: it is no text.
        NotFoundError: it is not an id at all, so there is nothing by it.
    """
    try:
        return parse_id(given_id(memory_id))
    except FormatError:
        raise NotFoundError from None


def current(state: VaultState, memory_id: str) -> Memory:
    """A memory's current version; the newest proposal where nothing is accepted yet.

    Raises:
        NotFoundError: there is no such memory, or it was deleted.
        OpenError: an app sealed it so that it does not open.
        StoreAlteredError: its key was changed in this device's folder; a sync brings it again.
    """
    identifier, memory = find(state, memory_id)
    if memory.current:
        record = _record(state, identifier, memory.current)
        return current_memory(state, identifier, memory, record)
    for version in [item.version for item in reversed(memory.proposals) if not item.deletion]:
        proposed = state.store.record(identifier, version)
        if proposed is not None:
            return open_memory(state, proposed, memory)
    raise NotFoundError(_NOT_HERE)


def update(
    state: VaultState,
    memory_id: str,
    change: Callable[[Fields], Fields],
    *,
    version: int | None = None,
) -> Flow[Memory]:
    """Write a memory's next version.

    Args:
        state: the vault.
        memory_id: which memory.
        change: makes the new fields from the current ones.
        version: the version that the change was made for; None for whatever is current.

    Raises:
        ConflictError: the memory has moved on since that version.
        NotFoundError: there is no such memory, or nothing of it was accepted yet.
    """
    identifier, memory = find(state, memory_id)
    if memory.current:
        with said_not_kept():
            yield from look_before(state, _record(state, identifier, memory.current).header)
    made: list[Written] = []
    tries = Tries()

    def describe() -> Change:
        made[:] = [next_version(state, identifier, change, version)]
        return tries.change(state, made)

    yield from append(state, describe, _put(identifier, made))
    return made[0].memory


def next_version(
    state: VaultState,
    identifier: bytes,
    change: Callable[[Fields], Fields],
    version: int | None = None,
    *,
    fresh: bool = False,
) -> Written:
    """Seal the version that follows the current one; ``version`` is the one that it must be.

    Raises:
        ConflictError: it is another one.
        NotFoundError: there is no such memory, nothing of it was accepted, or it is not here.
        InputError: what it would say cannot be a memory.
        StoreAlteredError: its key was changed in this device's folder.
    """
    memory = state.store.state(identifier)
    if memory is None or not memory.current:
        raise NotFoundError
    if version is not None and version != memory.current:
        raise ConflictError(_CHANGED)
    record = _record(state, identifier, memory.current)
    opened = open_current(state, identifier, memory.current, record)
    return seal_next(state, opened, memory, change, fresh=fresh)


def seal_next(
    state: VaultState,
    opened: Opened,
    memory: MemoryState,
    change: Callable[[Fields], Fields],
    *,
    fresh: bool = False,
) -> Written:
    """Seal the version that follows a memory's current one, which was opened.

    What an app wrote plain is sealed now where the vault keeps titles sealed, unless the change
    says otherwise: that it shows was not the owner's word. So is what is changed of whatever shows,
    on a device that is not confirmed: its owner may have sealed it since. What is only given a
    fresh key stays as it was: all of it that shows, the server has seen. So does its time: else a
    standing grant to what is changed since some day would be given what nobody changed. The entry
    is of now, though the memory says that it was made later: who made it chose that, and may have
    been an app, and by the entry's time it is told which grants ended since (spec 6).
    """
    key, number = next_key(state, opened, memory, fresh=fresh)
    author, now = opened.header.author, state.ambient.now()
    stamp = Stamp(
        account_id=state.account_id,
        memory_id=opened.header.memory_id,
        version=memory.newest + 1,
        key_number=number,
        author=OWNER,
        created=opened.header.created,
        updated=opened.header.updated if fresh else later_than(opened.header, now),
    )
    before = to_memory(opened.header, opened.payload).fields()
    if sealed_by_default(state) and not (author.is_owner and (fresh or is_confirmed(state))):
        before = hidden(before)
    fields = with_author(checked(change(before), sealed=before.sealed), author)
    written = seal_fields(state, stamp, fields, key, time=now)
    return msgspec.structs.replace(written, before=opened.header.key_number)


def with_author(fields: Fields, author: Author) -> Fields:
    """Fields that an app wrote, as the owner's device writes them again: its mark stays."""
    if author.is_owner:
        return fields
    provenance = written_again(author, fields.provenance)
    return msgspec.structs.replace(fields, provenance=provenance)


def _record(state: VaultState, identifier: bytes, version: int) -> Record:
    record = state.store.record(identifier, version)
    if record is None:
        raise NotFoundError(_NOT_HERE)
    return record


def _put(identifier: bytes, made: list[Written]) -> Callable[[Append], Request]:
    def request(body: Append) -> Request:
        before = made[0].memory.version - 1
        headers = {"If-Match": f'"{before}"'}
        path = f"/memory-blobs/{id_text(identifier)}"
        return Request(
            "PUT", path, encode_msgpack(body), media=MSGPACK, headers=headers, by_head=True
        )

    return request


def rewrite(
    state: VaultState, identifiers: Sequence[bytes], change: Callable[[Fields], Fields]
) -> Flow[None]:
    """Make one change to each of these memories, in one append.

    Raises:
        NotFoundError: one of them was deleted.
    """
    tries = Tries()

    def describe() -> Change:
        return tries.change(state, [next_version(state, item, change) for item in identifiers])

    yield from append(state, describe)


def forget(state: VaultState, memory_id: str, version: int | None = None) -> Flow[None]:
    """Delete a memory with all its versions: that is for good, so nothing that nobody looked at.

    Args:
        state: the vault.
        memory_id: which memory.
        version: the version that it is to have, 0 where nothing of it was accepted; None for the
            one that it has here, or that waits here to be sent.

    Raises:
        NotFoundError: there is no such memory.
        ConflictError: it has moved on since that version, on another device.
    """
    identifier, here = find(state, memory_id)
    looked = here.current if version is None else version
    own = digests_waiting(state) if version is None else frozenset()

    def describe() -> Change:
        memory = state.store.state(identifier)
        if memory is None or memory.deleted:
            raise NotFoundError
        if memory.current != looked and memory.digest not in own:
            raise ConflictError(_CHANGED)
        return Change(entries=(deletion(state, identifier, memory),))

    yield from append(state, describe)


def deletion(state: VaultState, identifier: bytes, memory: MemoryState) -> Entry:
    """The entry that deletes a memory, which stands like that."""
    return Entry(
        account_id=state.account_id,
        kind=kinds.DELETE,
        subject=identifier,
        version=memory.newest + 1,
        digest=memory.newest_digest,
        author=OWNER,
        time=state.ambient.now(),
    )
