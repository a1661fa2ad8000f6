"""What apps wrote and the owner has not decided: accept it, reject it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.append import append
from coffret.flows.arriving import check_records
from coffret.flows.freshness import NEED_KEYS, counted_as_over, is_stale, live_grants, maker
from coffret.flows.http import decode_msgpack
from coffret.flows.keys import (
    Opened,
    can_open,
    given,
    grant_wraps,
    is_made_under,
    open_record,
)
from coffret.flows.memories import current, seal_next, with_author
from coffret.flows.proposals import CHANGED, check_as_shown, chosen, looked_at
from coffret.flows.session import get_packed
from coffret.flows.settled import sealed_by_default
from coffret.flows.spoilt import open_current
from coffret.flows.visibility import hidden
from coffret.flows.written import Change, Tries, put_change
from coffret_vault.errors import ConflictError, NotFoundError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import Entry
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import KEK, Record, parse_header
from coffret_vault.log.replay import advance
from coffret_vault.records.marks import import_marks
from coffret_vault.records.seal import to_memory, wrap_memory_key
from coffret_vault.store import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from coffret.flows.http import Flow
    from coffret.flows.proposals import Proposed
    from coffret.flows.state import VaultState
    from coffret.flows.written import Accept, Wrap
    from coffret_vault.log.replay import MemoryState, Proposal
    from coffret_vault.records.memory import Fields, Memory
    from coffret_vault.store import GrantRow


_MARKS = 16 << 10
"""So many bytes of marks are carried on to what an app wrote: there is room for no more."""


_FORGET_OR_REJECT = "Forget the memory if it is to go as it is now; otherwise reject the proposal."


def _decision(state: VaultState, memory_id: bytes, item: Proposal, kind: str) -> Entry:
    return Entry(
        account_id=state.account_id,
        kind=kind,
        subject=memory_id,
        version=item.version,
        digest=item.digest,
        author=OWNER,
        time=state.ambient.now(),
    )


def accept(
    state: VaultState, proposal: Proposed, version: int | None = None
) -> Flow[Memory | None]:
    """Make a version that an app wrote the current one. Its key is wrapped for the owner.

    Given as it was shown, it is that with those words, beside what was current then.

    A version that was overtaken by a later one is written again as the owner's, since versions
    never go back; so is one under a key that was replaced since, which others may still have; and
    so is one that shows its title in a vault that keeps titles sealed, or of a memory that was
    sealed; one of a memory that was imported; and one of before the owner's keys were changed,
    since who knew those knows the key of the grant that it came by.

    Returns:
        The memory as it is now; None when what was accepted is its deletion.

    Raises:
        NotFoundError: nothing of it waits; or what is current is not here, and has to be synced.
        ConflictError: it cannot be opened, so it can only be rejected. Or it is not what was shown,
            or not beside that. Or it is a deletion, and the memory was changed after it was
            proposed. Or the memory was changed on another device meanwhile.
        InputError: a version is named beside what was shown in another one.
    """
    identifier, memory, item = chosen(state, proposal, version)
    looked = looked_at(proposal, memory)
    if item.deletion:
        check_as_shown(state, proposal, identifier, memory, item)
        yield from append(state, lambda: _deletion(state, identifier, item, looked))
        return None
    yield from _readable(state, identifier, item)
    check_as_shown(state, proposal, identifier, memory, item)
    tries = Tries()
    if overtaken(state, identifier, memory, item):
        yield from append(state, lambda: _replacement(state, identifier, item, looked, tries))
    else:
        yield from append(state, lambda: _taken_in(state, identifier, item, looked, tries))
    return current(state, id_text(identifier))


def overtaken(state: VaultState, identifier: bytes, memory: MemoryState, item: Proposal) -> bool:
    """Whether a proposal cannot become current as it is.

    Because a later version is current, or because it is not under the current version's key: one
    that was replaced since, or one that the app made up, which would become the memory's key. Or
    because it says that the memory was made on another day, of which its owner is shown nothing.

    Raises:
        NotFoundError: the current version is not here, so it cannot be told: a server withheld it.
    """
    if item.version < memory.current:
        return True
    record = state.store.record(identifier, item.version)
    if record is None or not memory.current:
        return False
    current = _record(state, identifier, memory.current)
    proposed = open_record(state, record)
    present = open_current(state, identifier, memory.current, current)
    then, now = proposed.header, present.header
    same = (then.key_number, then.created) == (now.key_number, now.created)
    return not same or proposed.key != present.key


def _still_pending(state: VaultState, identifier: bytes, items: Sequence[Proposal]) -> MemoryState:
    memory = state.store.state(identifier)
    if memory is None or any(item not in memory.pending for item in items):
        message = "this was decided on another device in between"
        raise ConflictError(message)
    return memory


def _deletion(state: VaultState, identifier: bytes, item: Proposal, looked: int) -> Change:
    """The change that accepts a proposed deletion, of the version that the owner ``looked`` at.

    It takes whatever is current with it, for good: so not what was written behind the proposal, by
    this device or by one whose entries were read only now.
    """
    memory = _still_pending(state, identifier, (item,))
    if memory.current > item.version:
        message = "the memory was changed after its deletion was proposed"
        raise ConflictError(message, hint=_FORGET_OR_REJECT)
    if memory.current != looked:
        raise ConflictError(CHANGED)
    return Change(entries=(_decision(state, identifier, item, kinds.ACCEPT),))


def _taken_in(
    state: VaultState, identifier: bytes, item: Proposal, looked: int, tries: Tries
) -> Change:
    """The change that accepts a version, in the place of the one that its owner ``looked`` at."""
    if _still_pending(state, identifier, (item,)).current != looked:
        raise ConflictError(CHANGED)
    return acceptance(state, identifier, (item,), tries)


def acceptance(
    state: VaultState, identifier: bytes, items: Sequence[Proposal], tries: Tries
) -> Change:
    """The change that accepts these versions, each of which follows on the one before.

    What has to be written again as the owner's is so in the same append: no server, and nothing
    that goes wrong in between, can keep the one and not the other.
    """
    memory = _still_pending(state, identifier, items)
    entries = tuple(_decision(state, identifier, item, kinds.ACCEPT) for item in items)
    if any(overtaken(state, identifier, memory, item) for item in items):
        raise ConflictError(CHANGED)
    opened = [_opened(state, identifier, item.version) for item in items]
    accepts = tuple(map(partial(_accepted, state), opened))
    live, last = live_grants(state), opened[-1]
    number = last.header.key_number
    view = to_memory(last.header, last.payload)
    wraps = tuple(grant_wraps(state, live, view, last.header, last.key, number))
    marks = _import_marks(state, identifier, memory)
    hide = not view.sealed and _is_hidden(state, identifier, memory)
    again = bool(marks or hide or _is_known_to_others(state, memory, items, wraps))
    if not (tries.went_astray(identifier, () if again else wraps) or again):
        back = tuple(_given_back(state, live, opened[0], memory))
        return Change(entries=entries, accepts=accepts, wraps=wraps + back)
    after = memory
    for entry in entries:
        after = advance(after, entry, state.store.size())
    written = seal_next(state, last, after, partial(_written_again, marks, hide))
    put = put_change(state, [written])
    return msgspec.structs.replace(put, entries=(*entries, *put.entries), accepts=accepts)


def _given_back(
    state: VaultState, live: Sequence[GrantRow], made: Opened, memory: MemoryState
) -> Iterator[Wrap]:
    """The key of what an app made, for the grant by which it may go on reading that.

    It has the key. From now on it has it of the owner, by whose word the next one is given to it.
    """
    record = state.store.record(made.header.memory_id, made.header.version)
    if memory.current or record is None:
        return
    for row in live:
        if row.statement().scopes & NEED_KEYS and is_made_under(row, made.header, record):
            yield given(state, row, made.header, made.key)


def _is_known_to_others(
    state: VaultState, memory: MemoryState, items: Sequence[Proposal], wraps: Sequence[Wrap]
) -> bool:
    """Whether the key of what is accepted would be in use although the wrong ones may have it.

    A stale key is given to nobody else, nor to another app one that opens what was said or proposed
    before; who knew the owner's keys of before knows the key of the grant that a version came by;
    and of a memory that another app made, the key is not the one that its log speaks of: which apps
    may have it cannot be told.
    """
    strange = not memory.current and items[0].app_id != maker(state, memory)
    given = {wrap[0] for wrap in wraps}
    stale = bool(wraps and is_stale(state, memory)) or counted_as_over(state, memory, given)
    has_past = bool(memory.current) or len(memory.proposals) > 1
    opens = has_past and _go_to_others(state, given, items[0].app_id)
    return strange or stale or opens or items[0].leaf < state.account.changed_at()


def _go_to_others(state: VaultState, grants: Iterable[bytes], app_id: bytes) -> bool:
    rows = map(state.store.grants.get, grants)
    return any(row is not None and row.statement().app_id != app_id for row in rows)


def _accepted(state: VaultState, opened: Opened) -> Accept:
    """An app's version, its key wrapped for the owner."""
    header, wrapping = opened.header, state.owner_wrapping()
    wrap = wrap_memory_key(header, opened.key, wrapping, random=state.ambient.random)
    return header.memory_id, header.version, KEK.encode(wrapping.name), wrap


def _import_marks(state: VaultState, identifier: bytes, memory: MemoryState) -> dict[str, str]:
    """The owner's marks on the current version, which an import is to find after it as well."""
    if not memory.current or memory.author:
        return {}
    marks = import_marks(_current(state, identifier, memory).payload.provenance)
    return marks if sum(len(text.encode()) for text in marks.values()) <= _MARKS else {}


def _is_hidden(state: VaultState, identifier: bytes, memory: MemoryState) -> bool:
    """Whether what an app wrote plain is to be sealed as it is accepted.

    The vault is, or the version before: that a memory shows again is its owner's word, never an
    app's, since what its owner writes later is as the version before was.
    """
    record = state.store.record(identifier, memory.current) if memory.current else None
    was_sealed = record is not None and parse_header(record.header).sealed
    return was_sealed or sealed_by_default(state)


def _written_again(marks: Mapping[str, str], hide: bool, fields: Fields) -> Fields:  # noqa: FBT001 - for partial
    """What an app wrote, as the owner's device writes it again."""
    marked = msgspec.structs.replace(fields, provenance={**fields.provenance, **marks})
    return hidden(marked) if hide else marked


def _opened(state: VaultState, identifier: bytes, version: int) -> Opened:
    return open_record(state, _record(state, identifier, version))


def _current(state: VaultState, identifier: bytes, memory: MemoryState) -> Opened:
    version = memory.current
    return open_current(state, identifier, version, _record(state, identifier, version))


def _record(state: VaultState, identifier: bytes, version: int) -> Record:
    record = state.store.record(identifier, version)
    if record is None:
        message = "this version is not on this device yet; sync first"
        raise NotFoundError(message)
    return record


class _RecordAnswer(msgspec.Struct, frozen=True):
    record: Record


def _readable(state: VaultState, identifier: bytes, item: Proposal) -> Flow[None]:
    """Have a proposal here so that it opens, asking the server once more where it does not.

    The log names what is sealed, not how its key is wrapped: what a server got wrong once must not
    stay so. Only a decision asks: a sync that did would tell the server what opens.

    Raises:
        ConflictError: the app sealed it so that it does not open, or as someone else's.
        TrustError: it is not the record that the log names.
    """
    stood = state.store.stand()
    _still_pending(state, identifier, (item,))
    record = state.store.record(identifier, item.version)
    if record is not None and can_open(state, record):
        return
    path = f"/memory-blobs/{id_text(identifier)}"
    params = ("version", str(item.version))
    answer = decode_msgpack((yield from get_packed(state, path, params)), _RecordAnswer)
    if answer.record.digest != item.digest:
        message = "the server shows another version than the one in the log"
        raise TrustError(message)
    named = Wanted(item.digest, current=False, author=item.app_id)
    wanted = {(identifier, item.version): named}
    found = list(check_records(state, wanted, [(b"", answer.record)], {}))
    if not found or not can_open(state, found[0].record):
        message = "the app sealed this so that it does not open; it can only be rejected"
        raise ConflictError(message)
    state.store.put_records(found, stood)


def _replacement(
    state: VaultState, identifier: bytes, item: Proposal, looked: int, tries: Tries
) -> Change:
    """The change that writes what an overtaken version says as the owner's, in its place.

    In the place of the version that its owner ``looked`` at, and of none that was read only now.
    """
    memory = _still_pending(state, identifier, (item,))
    if memory.current != looked:
        raise ConflictError(CHANGED)
    opened = _opened(state, identifier, item.version)
    fields = to_memory(opened.header, opened.payload).fields()
    fields = with_author(fields, opened.header.author)
    marks = _import_marks(state, identifier, memory)
    hide = _is_hidden(state, identifier, memory)
    fields = _written_again(marks, hide, fields)
    current = _current(state, identifier, memory)
    put = tries.change(state, [seal_next(state, current, memory, lambda _: fields)])
    entry = _decision(state, identifier, item, kinds.REJECT)
    return msgspec.structs.replace(put, entries=(*put.entries, entry))


def reject(state: VaultState, proposal: Proposed, version: int | None = None) -> Flow[None]:
    """Turn down what an app wrote; the memory stays as it was.

    Raises:
        NotFoundError: nothing of it waits.
        ConflictError: it was decided on another device meanwhile; or it is not what was shown.
        InputError: a version is named beside what was shown in another one.
    """
    identifier, memory, item = chosen(state, proposal, version)
    check_as_shown(state, proposal, identifier, memory, item)

    def describe() -> Change:
        _still_pending(state, identifier, (item,))
        return Change(entries=(_decision(state, identifier, item, kinds.REJECT),))

    yield from append(state, describe)
