"""Hand over the keys of what a grant shares, and put it in force. docs/spec/6-grants.md, States.

While this goes on, or between two tries, the owner may end the grant or take a memory out of it on
another device. This device learns of that at any sync, and then no key goes to that grant: so what
the log says of the grant is read again after whatever may sync, and before each request with keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.freshness import live_grants, stale_among
from coffret.flows.grantfeed import (
    ACTIVATING,
    ACTIVE,
    REVOKED,
    grant_wrapping,
    sharing_name,
    wrapping_for,
)
from coffret.flows.http import MSGPACK, Request, encode_msgpack, succeed
from coffret.flows.rekeying import rekey_all
from coffret.flows.session import send
from coffret.flows.spoilt import spoilt
from coffret_vault.errors import (
    ConflictError,
    FormatError,
    GrantExpiredError,
    GrantRevokedError,
    OpenError,
    QuotaError,
    StoreAlteredError,
    StoreDamagedError,
)
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import KEK, parse_header, peek_header
from coffret_vault.formats.pae import u64
from coffret_vault.formats.sharing import UPDATE
from coffret_vault.grants.given import give_key
from coffret_vault.records.seal import unwrap_memory_key
from coffret_vault.store import StoredRecord, open_note, seal_note

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress
    from coffret_vault.formats.memory import Header, Peek, Record
    from coffret_vault.log.replay import MemoryState
    from coffret_vault.records.seal import Wrapping
    from coffret_vault.store import GrantRow

    Sharing = dict[bytes, int]
    """Memories, each with the number of the key that was decided about, or was sent since."""
    _Shared = tuple[Header | Peek, MemoryState, Record]
    """A memory that is to be given, as it stands; its record without what is sealed in that."""

_PART = 5_000
_ID = 16
_ITEM = 24
_ROUNDS = 16
_NOT_OUR_LIST = "the list of what this grant shares was changed on this device; nothing was shared"
_STILL_STALE = "other grants go on ending meanwhile; approve the request again to go on"
_LEFT_OUT = (
    "the grant is in force, but without some memories: another device gave them other keys "
    "meanwhile, and may have taken them out of it"
)
_NO_ROOM = "The grant waits for fresh keys: approve the request again then, or revoke the grant."
_ASK_AGAIN = "Revoke the grant, and have the app ask again."


def hand_over(
    state: VaultState, grant_id: bytes, progress: Progress, *, again: bool = False
) -> Flow[None]:
    """Wrap the keys of all that is granted, upload them, and put the grant in force.

    ``again`` says that this goes on with what was interrupted: that something was left out since
    is what its owner may have meant.

    Raises:
        GrantRevokedError: the owner revoked it meanwhile, on another device.
        GrantExpiredError: its time is over.
        ConflictError: it is in force, or paused, already; or fresh keys were stale again each time.
            Or it is in force now, without what another device wrote again in these moments.
        QuotaError: there is no room for what has to be written again before it is shared.
        StoreAlteredError: the list of what is shared is somebody else's.
    """
    sharing = _sharing(state, grant_id)
    whole = yield from _freshen(state, grant_id, sharing, progress)
    wraps = list(_wraps(state, _waiting(state, grant_id), whole))
    for at in range(0, len(wraps), _PART):
        yield from _send(state, grant_id, sharing, wraps[at : at + _PART])
        progress("keys", min(at + _PART, len(wraps)), len(wraps))
    _waiting(state, grant_id)
    succeed((yield from send(state, Request("POST", f"/grants/{id_text(grant_id)}/activate"))))
    state.store.grants.move(grant_id, ACTIVATING, ACTIVE)
    state.store.set_meta(sharing_name(grant_id), b"")
    left = sharing.keys() - {memory_id for memory_id, _, _ in wraps}
    if left and not again and any(row.memory_id in left for row in state.store.current_records()):
        raise ConflictError(_LEFT_OUT, hint="To share them too, let the app ask once more.")


def _waiting(state: VaultState, grant_id: bytes) -> GrantRow:
    """The grant as it stands now, if it still waits for its keys."""
    row = state.store.grants.get(grant_id)
    if row is not None and row.state == REVOKED:
        message = "the grant was revoked before it had all its keys; it is given no more"
        raise GrantRevokedError(message)
    if row is None or row.state != ACTIVATING:
        message = "this grant is not waiting to be put in force"
        raise ConflictError(message)
    if row.statement().expires <= state.ambient.now():
        message = "the grant ended before it had all its keys; it is given no more"
        raise GrantExpiredError(message)
    return row


def _sharing(state: VaultState, grant_id: bytes) -> Sharing:
    """The memories whose keys this device is to hand over.

    Raises:
        StoreAlteredError: the list there is somebody else's.
    """
    name = sharing_name(grant_id)
    sealed = state.store.meta(name) or b""
    try:
        kept = (open_note(state.keys.keyring, name, sealed) if sealed else None) or b""
    except StoreAlteredError:
        raise StoreAlteredError(_NOT_OUR_LIST, hint=_ASK_AGAIN) from None
    return read_sharing(kept)


def read_sharing(note: bytes) -> Sharing:
    """What a note says that is to be handed over.

    Raises:
        StoreDamagedError: it is no such note.
    """
    if len(note) % _ITEM:
        raise StoreDamagedError
    items = (note[at : at + _ITEM] for at in range(0, len(note), _ITEM))
    return {item[:_ID]: int.from_bytes(item[_ID:], "big") for item in items}


def sharing_note(
    state: VaultState, grant_id: bytes, sharing: Mapping[bytes, int]
) -> dict[str, bytes]:
    """The value to keep before a grant is sent: what this device is to hand over, sealed."""
    name = sharing_name(grant_id)
    note = b"".join(memory_id + u64(number) for memory_id, number in sharing.items())
    return {name: seal_note(state.keys.keyring, name, note, random=state.ambient.random)}


def _freshen(
    state: VaultState, grant_id: bytes, sharing: Sharing, progress: Progress
) -> Flow[list[_Shared]]:
    """Fresh keys where the app is not to know, or to write under, the key that a memory has.

    Again where that brought news of other grants that were ended, but not for ever.

    Returns:
        What is to be given, as it stands now.
    """
    for left in range(_ROUNDS, -1, -1):
        row = _waiting(state, grant_id)
        given = list(_to_give(state, row, sharing))
        unfit = _unfit(state, row, given)
        if not unfit:
            return given
        if not left:
            break
        _count_as_held(state, grant_id, unfit)
        try:
            yield from rekey_all(state, list(unfit), progress=progress)
        except QuotaError as error:
            error.hint = f"{error.hint} {_NO_ROOM}".lstrip()
            raise
    raise ConflictError(_STILL_STALE)


def _count_as_held(state: VaultState, grant_id: bytes, unfit: Sharing) -> None:
    """Have a grant count as holding these before they get fresh keys.

    So it is given each of those as it is made, and should this be interrupted, the device knows
    under its seal which ones it made itself. So does every other grant that waits here to be handed
    the same: else its owner would seem to have taken them out of it.
    """
    state.store.grants.add_wraps(grant_id, unfit.items())
    for row in live_grants(state):
        waiting = row.statement().grant_id
        if row.state != ACTIVATING or waiting == grant_id:
            continue
        try:
            sharing = _sharing(state, waiting)
        except StoreAlteredError:
            continue  # nothing is shared by such a list
        too = {header.memory_id for header, _, _ in _to_give(state, row, sharing)} & unfit.keys()
        state.store.grants.add_wraps(waiting, [(name, unfit[name]) for name in sorted(too)])


def _unfit(state: VaultState, row: GrantRow, given: Sequence[_Shared]) -> Sharing:
    """What is not to be given under the key that it has, with that key's number.

    Because the app could write and the key is stale, so that others would read that; or because the
    key opens what the memory said before, or what was proposed for it: with what a server kept of
    that, the app would read it.
    """
    app_id = row.statement().app_id
    numbers = {header.memory_id: header.key_number for header, _, _ in given}
    unfit = {
        header.memory_id
        for header, memory, _ in given
        if header.key_number != header.version or _was_proposed_for(memory, header, app_id)
    }
    if UPDATE in row.statement().scopes:
        unfit.update(stale_among(state, sorted(numbers.keys() - unfit)))
    return {name: numbers[name] for name in sorted(unfit)}


def _was_proposed_for(memory: MemoryState, header: Header | Peek, app_id: bytes) -> bool:
    """Whether apps other than the grant's proposed something for a memory under its key."""
    number = header.key_number
    return any(
        item.version > number and item.app_id != app_id and not item.deletion
        for item in memory.proposals
    )


def _to_give(state: VaultState, row: GrantRow, sharing: Sharing) -> Iterator[_Shared]:
    """What of the memories that are shared is still to be, as it stands.

    A memory that has another key by now than was decided about, or was sent, may have been taken
    out of the grant by who wrote it, on this device or another: it is left out. Not so what was
    written before there was such a grant. What this device knows under its seal of what the grant
    has goes before the list, which may be one of before that somebody put back.
    """
    held = state.store.grants.memories(row.statement().grant_id)
    for item, memory in state.store.current():
        memory_id = item.memory_id
        if memory_id not in sharing:
            continue
        header = peek_header(item.record.header) or parse_header(item.record.header)
        same = held.get(memory_id, sharing[memory_id]) == header.key_number
        if same or (memory_id not in held and memory.begun < row.granted_at):
            # All of them are in memory together, and each may have 2 MiB that nobody opens here.
            yield header, memory, msgspec.structs.replace(item.record, envelope=b"")


def _wraps(
    state: VaultState, row: GrantRow, shared: Sequence[_Shared]
) -> Iterator[tuple[bytes, int, bytes]]:
    """The keys of the memories that are shared, wrapped for the grant.

    No envelope is opened: a memory key's wrap authenticates which memory it is of.
    """
    wrapping = grant_wrapping(state, row)
    own: dict[bytes, Wrapping] = {}
    for header, _, record in shared:
        try:
            if record.kek not in own:
                own[record.kek] = wrapping_for(state, KEK.decode(record.kek), {})
            key = unwrap_memory_key(header, record.wrap, own[record.kek])
        except (FormatError, OpenError):
            lying = state.store.lying(header.memory_id, header.version) or record
            found = StoredRecord(header.memory_id, header.version, lying)
            raise spoilt(state, [found]) from None
        wrap = give_key(state.keys.keyring, header, key, wrapping)
        yield header.memory_id, header.key_number, wrap


def _send(
    state: VaultState, grant_id: bytes, sharing: Sharing, part: list[tuple[bytes, int, bytes]]
) -> Flow[None]:
    """Upload some of the keys. That they are sent is kept first: the answer may be lost."""
    _waiting(state, grant_id)
    given = {memory_id: number for memory_id, number, _ in part}
    if any(sharing[memory_id] != number for memory_id, number in given.items()):
        sharing.update(given)
        state.store.take_over((), sharing_note(state, grant_id, sharing))
    path, body = f"/grants/{id_text(grant_id)}/wraps", encode_msgpack({"wraps": part})
    succeed((yield from send(state, Request("POST", path, body, media=MSGPACK))))
    state.store.grants.add_wraps(grant_id, given.items())
