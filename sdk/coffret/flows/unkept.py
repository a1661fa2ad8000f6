"""Changes that waited on this device and were given up: their owner is told, and has the words.

Whoever made such a change was told that its answer was lost, and may have gone away; it was given
up by a later command or sync, because the log had grown past it or the server refused it
(:mod:`coffret.flows.unsent`). What it would have done is noted then, in the transaction that gives
it up, with what its memories would have said. The note is sealed as the change was; it goes when
its owner says so, or once what it would have written stands in the vault.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.keys import open_own
from coffret.flows.state import PLACES
from coffret_vault.errors import (
    NotFoundError,
    OpenError,
    StoreAlteredError,
)
from coffret_vault.formats.entry import PUT, parse_leaf
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import (
    MAX_OWN_PAYLOAD,
    parse_header,
    parse_payload,
    serialize_payload,
)
from coffret_vault.formats.unshown import Unshown
from coffret_vault.records.marks import IMPORT_RUN
from coffret_vault.records.memory import Memory, from_micros
from coffret_vault.records.seal import to_memory
from coffret_vault.store import decoded, open_note, seal_note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from coffret.flows.state import VaultState
    from coffret_vault.formats.memory import Record
    from coffret_vault.keyring import Keyring
    from coffret_vault.records.memory import Fields

PREFIX = "unkept "
_DIGITS = 12
_MOST = 20
"""So many are kept; then the oldest goes. One can be as large as a body."""

WAITING = "waiting"
OVERTAKEN = "overtaken"
KEYS_CHANGED = "keys-changed"


class UnkeptEntry(msgspec.Struct, frozen=True):
    """One entry that a change would have made in the log.

    Attributes:
        kind: ``put``, ``delete``, ``revoke`` and so on (docs/spec/5-log.md).
        subject: the memory, grant or whatever else it is about.
        version: as the log would have counted it.
    """

    kind: str
    subject: str
    version: int


class Unkept(Unshown, msgspec.Struct, frozen=True):
    """A change that waited on this device and was given up, or waits still.

    Attributes:
        id: names it, for ``forget_unkept``; ``waiting`` for the one that was sent and waits, the
            memory's own id for one that was not sent yet.
        at: when it was given up; None where that can be read no more, or it was not.
        why: ``waiting`` where it was not given up: it is sent again with the next call that reaches
            the server, which may have it already. ``not-sent`` for a memory that goes out after
            it. ``overtaken`` where another device wrote first, ``keys-changed`` where the owner's
            keys were changed first (where this device was locked then, what it was can be read no
            more, nor whether it arrived). Or the code of the error by which the server refused it.
        entries: what it would have done.
        memories: what the memories would have said that it would have written.
    """

    id: str
    at: datetime | None
    why: str
    entries: tuple[UnkeptEntry, ...]
    memories: tuple[Memory, ...]


class Loss(Unshown, msgspec.Struct, frozen=True, array_like=True):
    """A change that was given up, as it is kept: leaves, and headers with payloads."""

    at: int
    why: str
    base: int = 0
    leaves: tuple[bytes, ...] = ()
    words: tuple[tuple[bytes, bytes], ...] = ()

    def arrived(self, state: VaultState) -> bool:
        """Whether it is in the log after all, as far as that was read here."""
        here = (state.store.leaf(at) for at in range(self.base, self.base + len(self.leaves)))
        return bool(self.leaves) and tuple(here) == self.leaves

    def memories(self) -> tuple[Memory, ...]:
        """What its memories would have said."""
        return tuple(
            to_memory(parse_header(header), parse_payload(payload, MAX_OWN_PAYLOAD))
            for header, payload in self.words
        )


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Loss).decode


def words_of(keyring: Keyring, records: Iterable[Record]) -> tuple[tuple[bytes, bytes], ...]:
    """What the owner's records say, opened; those that do not open are left out."""
    return tuple(_words(keyring, records))


def _words(keyring: Keyring, records: Iterable[Record]) -> Iterator[tuple[bytes, bytes]]:
    for record in records:
        try:
            opened = open_own(keyring, record)
        except OpenError:
            continue
        yield record.header, serialize_payload(opened.payload, MAX_OWN_PAYLOAD)


def noted(
    state: VaultState,
    losses: Iterable[Loss],
    *,
    tried: bool = False,
    keyring: Keyring | None = None,
) -> dict[str, bytes]:
    """The values that keep losses, and let go of the oldest where there are many.

    One that is ``tried`` to be made good next takes nobody's place: it may be none. They are sealed
    with this ``keyring``, or else with the vault's.
    """
    names = sorted(state.store.noted(PREFIX))
    ours = (text for text in map(_number, names) if len(text) == _DIGITS and text.isdecimal())
    first = 1 + max(map(int, ours), default=0)
    made = {f"{PREFIX}{at:0{_DIGITS}}": loss for at, loss in enumerate(losses, first)}
    ring, random = keyring or state.keys.keyring, state.ambient.random
    sealed = {
        name: seal_note(ring, name, _encode(loss), random=random) for name, loss in made.items()
    }
    most = _MOST if tried else _MOST - len(sealed)
    return dict.fromkeys(names[:-most], b"") | sealed


def names_of_unkept(state: VaultState) -> frozenset[str]:
    """The names of the changes that were given up. Needs no keys."""
    return frozenset(state.store.noted(PREFIX))


def count_unkept(state: VaultState) -> int:
    """How many changes were given up, that nobody has looked through. Needs no keys."""
    return len(names_of_unkept(state))


def unkept(state: VaultState, there: Iterable[Memory]) -> list[Unkept]:
    """The changes that were given up, oldest first.

    What arrived after all, or stands in the vault in other memories by now, is forgotten.

    Args:
        state: the vault, unlocked.
        there: the current memories; only looked through if there is something to look for.

    Raises:
        StoreAlteredError: one was not noted by this vault; it is dropped.
    """
    losses = {name: _read(state, name, sealed) for name, sealed in _sorted(state)}
    wanted = [memory for loss in losses.values() for memory in loss.memories()]
    standing = _standing(wanted, there) if wanted else set()
    made = {name for name, loss in losses.items() if _is_made(state, loss, standing)}
    let_go(state, made)
    return [as_shown(_id(name), loss) for name, loss in losses.items() if name not in made]


def _standing(wanted: Sequence[Memory], there: Iterable[Memory]) -> set[tuple[str, int]]:
    """Those, by id and version, that stand in the vault by now.

    A new memory does where any says the same, tags and all. A later version was made for more than
    that: for who sees its title, for a fresh key. It does where its memory is all the same, in a
    version that is no older.
    """
    alike: dict[str, list[Memory]] = {}
    for memory in wanted:
        alike.setdefault(memory.content, []).append(memory)
    return {
        (memory.id, memory.version)
        for found in there
        for memory in alike.get(found.content, ())
        if _says(found, memory)
    }


def _says(found: Memory, memory: Memory) -> bool:
    if memory.version == 1:
        return _shown_or_not(found) == _shown_or_not(memory)
    is_later = found.id == memory.id and found.version >= memory.version
    return is_later and found.fields() == memory.fields()


def _is_made(state: VaultState, loss: Loss, standing: set[tuple[str, int]]) -> bool:
    """Whether it was done after all, or would have done nothing but write what is there by now."""
    if loss.arrived(state):
        return True
    kinds = [parse_leaf(leaf).entry.kind for leaf in loss.leaves]
    only_writes = bool(kinds) and set(kinds) == {PUT} and len(kinds) == len(loss.words)
    made = ((memory.id, memory.version) for memory in loss.memories())
    return only_writes and standing.issuperset(made)


def forget_unkept(state: VaultState, identifier: str | None) -> int:
    """Let go of one such change, or of all of them; how many that were.

    Raises:
        NotFoundError: there is no such one.
    """
    names = [name for name, _ in _sorted(state) if identifier in {None, _id(name)}]
    if identifier is not None and not names:
        raise NotFoundError
    let_go(state, names)
    return len(names)


def let_go(state: VaultState, names: Iterable[str]) -> None:
    """Forget losses by the names under which they were noted: nothing was lost after all."""
    for name in names:
        state.store.set_meta(name, b"")


def forget_arrived(state: VaultState) -> None:
    """Forget those that are in the log after all."""
    arrived = []
    for name, sealed in _sorted(state):
        with suppress(StoreAlteredError):
            note = open_note(state.keys.keyring, name, sealed)
            if note is not None and read_loss(note).arrived(state):
                arrived.append(name)
    let_go(state, arrived)


def forget_said_again(state: VaultState, before: AbstractSet[str], written: Memory) -> None:
    """Forget what was given up since ``before`` and was a new memory alone, which is written now.

    A later version of another memory is not done with it, though it says the same.
    """
    wanted, again = [(1, _shown_or_not(written))], []
    kept = state.store.noted(PREFIX)
    for name in kept.keys() - before:
        with suppress(StoreAlteredError):  # somebody put it there: whoever looks at it is told
            note = open_note(state.keys.keyring, name, kept[name])
            memories = () if note is None else read_loss(note).memories()
            if [(memory.version, _shown_or_not(memory)) for memory in memories] == wanted:
                again.append(name)
    let_go(state, again)


def _shown_or_not(memory: Memory) -> Fields:
    """What a memory says, whether it shows its title or not, and whichever import's run wrote it.

    What is imported again is so by another run.
    """
    kept = memory.provenance.items()
    provenance = {name: text for name, text in kept if name != IMPORT_RUN}
    return msgspec.structs.replace(memory.fields(), sealed=None, provenance=provenance)


def sealed_anew(state: VaultState, before: Keyring, after: Keyring) -> dict[str, bytes]:
    """All of them under the keys that follow on others, to be kept with these.

    So are the places of imports: one that was interrupted is to go on where it was. What was not
    noted by this vault stays as it is: the server has the change of keys by now, and
    whoever looks at it is told.
    """
    anew: dict[str, bytes] = {}
    places = state.store.meta(PLACES)
    for name, sealed in (*_sorted(state), *(((PLACES, places),) if places else ())):
        with suppress(StoreAlteredError):
            note = open_note(before, name, sealed)
            if note is not None:
                anew[name] = seal_note(after, name, note, random=state.ambient.random)
    return anew


def _sorted(state: VaultState) -> list[tuple[str, bytes]]:
    return sorted(state.store.noted(PREFIX).items())


def _read(state: VaultState, name: str, sealed: bytes) -> Loss:
    try:
        note = open_note(state.keys.keyring, name, sealed)
    except StoreAlteredError:
        state.store.check_seals()  # it may be under keys that another process changed to
        state.store.set_meta(name, b"")
        raise
    if note is None:  # of the keys before
        return Loss(0, KEYS_CHANGED)
    return read_loss(note)


def read_loss(note: bytes) -> Loss:
    """A loss as it was noted.

    Raises:
        StoreDamagedError: it is none.
    """
    return decoded(_decode, note)


def as_shown(identifier: str, loss: Loss) -> Unkept:
    """A loss as its owner is told."""
    entries = (parse_leaf(leaf).entry for leaf in loss.leaves)
    return Unkept(
        id=identifier,
        at=from_micros(loss.at) if loss.at else None,
        why=loss.why,
        entries=tuple(UnkeptEntry(e.kind, id_text(e.subject), e.version) for e in entries),
        memories=loss.memories(),
    )


def _id(name: str) -> str:
    return _number(name).lstrip("0")


def _number(name: str) -> str:
    return name.removeprefix(PREFIX)
