"""What was said while the server was away: kept as words on this device until it can be written.

docs/adr/0016. Of what is signed, one change at a time waits (:mod:`coffret.flows.unsent`), since
nothing can be signed on top of it. A new memory needs no place in the log to be kept: it is noted
unsigned, sealed as all that this device intends, and written once the server is back
(:mod:`coffret.flows.waiting`). It has its id and its times from when it was said.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.same import TAKEN, says_the_same
from coffret.flows.unkept import Loss, as_shown, noted, words_of
from coffret_vault.errors import ConflictError, KeysChangedError, StoreAlteredError
from coffret_vault.formats.entry import serialize_entry
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import MAX_OWN_PAYLOAD, parse_header, parse_payload
from coffret_vault.formats.unshown import Unshown
from coffret_vault.records.seal import to_memory
from coffret_vault.store import decoded, open_note, seal_note

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from coffret.flows.memories import NewMemory
    from coffret.flows.state import VaultState
    from coffret.flows.unkept import Unkept
    from coffret.flows.written import Written
    from coffret_vault.formats.memory import Header, Payload, Record
    from coffret_vault.keyring import Keyring
    from coffret_vault.records.memory import Memory

PREFIX = "draft "
MOST = 1_000
MOST_BYTES = 64 << 20
"""So many, and so much of them, is kept: who is away for longer is told that the next is not."""
NOT_SENT = "not-sent"
_HEX = 32


class Draft(Unshown, msgspec.Struct, frozen=True, array_like=True):
    """A new memory as it was said: the entry that it is to have, its header, and its payload.

    ``undecided`` says that whether it shows its title is left to the vault.
    """

    leaf: bytes
    header: bytes
    payload: bytes
    undecided: bool

    def parsed(self) -> tuple[Header, Payload]:
        """Its header and its payload."""
        return parse_header(self.header), parse_payload(self.payload, MAX_OWN_PAYLOAD)

    def memory(self) -> Memory:
        """What it says."""
        return to_memory(*self.parsed())

    def memory_id(self) -> bytes:
        """The id that it is to have."""
        return parse_header(self.header).memory_id


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Draft).decode


def names_of_drafts(state: VaultState) -> list[str]:
    """The names of what waits to be written, as it was said. Needs no keys."""
    return sorted(state.store.noted(PREFIX))


def drafts(state: VaultState) -> dict[str, Draft | None]:
    """What waits to be written, by its name; None for what only earlier keys open.

    Raises:
        StoreAlteredError: one was not noted by this vault; it is dropped.
    """
    return dict(_drafts(state, state.keys.keyring))


def _drafts(state: VaultState, keyring: Keyring) -> Iterable[tuple[str, Draft | None]]:
    for name, sealed in sorted(state.store.noted(PREFIX).items()):
        try:
            note = open_note(keyring, name, sealed)
        except StoreAlteredError:
            state.store.check_seals()  # it may be under keys that another process changed to
            let_go_of_drafts(state, [name])
            raise
        yield name, None if note is None else decoded(_decode, note)


def keep_draft(state: VaultState, written: Written, new: NewMemory) -> bool:
    """Note a new memory down, where no power cut takes it; whether it is kept now.

    What waits already and says the same is not noted again: it is the same call once more.

    Raises:
        ConflictError: something else waits to be written with the id that was chosen for it.
        KeysChangedError: another process of this device changed the keys; what is noted under those
            of before, nobody would read.
    """
    waiting = [draft for draft in drafts(state).values() if draft is not None]
    for draft in waiting:
        if new.memory_id is not None and draft.memory_id() != written.stamp.memory_id:
            continue
        if says_the_same(draft.memory(), written.memory, new):
            return True
        if new.memory_id is not None:
            raise ConflictError(TAKEN)
    ((header, payload),) = words_of(state.keys.keyring, (written.row.record,))
    size = len(payload) + sum(len(draft.payload) for draft in waiting)
    if len(waiting) >= MOST or size > MOST_BYTES:
        return False
    leaf = serialize_entry(written.entry)
    note = _encode(Draft(leaf, header, payload, written.undecided))
    name = f"{PREFIX}{written.stamp.updated:020} {written.stamp.memory_id.hex()}"
    sealed = seal_note(state.keys.keyring, name, note, random=state.ambient.random)
    kept = state.store.claim(name, sealed)
    try:
        with suppress(StoreAlteredError):  # that is told by the next sync
            state.store.check_seals()
    except KeysChangedError:
        let_go_of_drafts(state, [name])
        raise
    return kept


def let_go_of_drafts(state: VaultState, names: Iterable[str]) -> None:
    """Forget these: they are written, or their owner says so."""
    for name in names:
        state.store.set_meta(name, b"")


def give_up_drafts(state: VaultState, found: Mapping[str, Draft | None], why: str) -> None:
    """Note these as given up, in the step that lets go of them.

    Raises:
        KeysChangedError: another process of this device changed the keys, and has done with these.
    """
    if found:
        told = noted(state, losses(state, found, why))
        state.store.note(dict.fromkeys(found, b"") | told)


def noted_under(state: VaultState, before: Keyring) -> dict[str, Draft]:
    """What waits to be written and was noted under the keys of before, by its name."""
    found = {}
    for name, sealed in sorted(state.store.noted(PREFIX).items()):
        with suppress(StoreAlteredError):  # somebody else's: that is told by the next sync
            note = open_note(before, name, sealed)
            if note is not None:
                found[name] = decoded(_decode, note)
    return found


def ids_of_drafts(state: VaultState) -> frozenset[bytes]:
    """The ids of the memories that wait to be written. Needs no keys."""
    found = set()
    for name in names_of_drafts(state):
        with suppress(ValueError):  # somebody else's: that is told by whatever opens it
            found.add(bytes.fromhex(name[-_HEX:]))
    return frozenset(found)


def without_drafts(state: VaultState, written: Iterable[bytes]) -> dict[str, bytes]:
    """The values that let go of what has these ids, to be kept with what says it is written."""
    ids = {memory_id.hex() for memory_id in written}
    return {name: b"" for name in names_of_drafts(state) if name[-_HEX:] in ids}


def are_noted(state: VaultState, names: Iterable[str]) -> bool:
    """Whether what waits to be written, as far as it is among these names, waits still."""
    return state.store.noted(PREFIX).keys() >= {name for name in names if name.startswith(PREFIX)}


def notes_drafts(names: Iterable[str]) -> bool:
    """Whether what waits to be written is among these names."""
    return any(name.startswith(PREFIX) for name in names)


def are_drafts(state: VaultState, records: Iterable[Record]) -> bool:
    """Whether records are new memories that wait to be written, and nothing else."""
    headers = [parse_header(record.header) for record in records]
    ours = {name[-_HEX:] for name in names_of_drafts(state)}
    return bool(headers) and all(
        header.version == 1 and header.memory_id.hex() in ours for header in headers
    )


def losses(state: VaultState, found: Mapping[str, Draft | None], why: str) -> list[Loss]:
    """What would have been written, as its owner is told; and once, that some cannot be read."""
    read = [draft for draft in found.values() if draft is not None]
    at = state.ambient.now()
    words = tuple((draft.header, draft.payload) for draft in read)
    told = [Loss(at, why, 0, tuple(draft.leaf for draft in read), words)] if read else []
    return told if len(read) == len(found) else [*told, Loss(at, why)]


def as_waiting(state: VaultState) -> list[Unkept]:
    """What waits to be written, as its owner is told; by the ids that the memories are to have.

    Raises:
        StoreAlteredError: one was not noted by this vault; it is dropped.
    """
    found = [draft for draft in drafts(state).values() if draft is not None]
    return [
        as_shown(
            id_text(draft.memory_id()),
            Loss(0, NOT_SENT, 0, (draft.leaf,), ((draft.header, draft.payload),)),
        )
        for draft in found
    ]
