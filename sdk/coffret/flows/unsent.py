"""The change that was sent and not answered: kept until it is known what became of it.

docs/spec/5-log.md, Rules a device keeps. A device signs a head before it knows whether the server
takes it. Were the answer lost, and the next change put upon the same log, two heads of one size
would bear the owner's signature, as after a fork. So a change is kept before it leaves, and is sent
again, the very same bytes, before anything else is signed; it is given up when it can never be
accepted any more: the log has grown past it (or, where it is a head alone, another covers that
log), or the server has refused it. Then its owner is told, and has what it would have said
(:mod:`coffret.flows.unkept`); a memory that it was to begin, and that the log outgrew, is written
anew (:mod:`coffret.flows.overtaken`).

It is sealed, though all of it is public or sealed already: what is sent with the owner's authority
is what this vault noted down, not what somebody put into a file (docs/adr/0025).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.drafts import PREFIX as DRAFTS
from coffret.flows.drafts import are_drafts, losses, noted_under, without_drafts
from coffret.flows.http import JSON, LogMovedError, Request, succeed
from coffret.flows.session import send
from coffret.flows.state import intended_meta, load_intended
from coffret.flows.sync import sync
from coffret.flows.unkept import (
    KEYS_CHANGED,
    OVERTAKEN,
    PREFIX,
    WAITING,
    Loss,
    Unkept,
    as_shown,
    noted,
    sealed_anew,
    words_of,
)
from coffret.flows.visibility import look_before_again
from coffret_vault.errors import (
    ConflictError,
    ForbiddenError,
    GrantError,
    InputError,
    NotFoundError,
    QuotaError,
    StoreAlteredError,
    TrustError,
)
from coffret_vault.formats.memory import Record, parse_header
from coffret_vault.formats.unshown import Unshown
from coffret_vault.store import decoded, is_of, open_note, seal_note

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret_vault.keyring import Keyring
    from coffret_vault.log.verify import Position

_NAME = "unsent"
_NONE = b""
_OF_DRAFTS = "unsent drafts"
_END = 32
REFUSED = (ConflictError, ForbiddenError, GrantError, InputError, NotFoundError, QuotaError)
"""What a server says that will not take a change; others may take it yet (busy, failing, …)."""

SETTLED = {_NAME: _NONE}
"""What is kept with a change that the server took."""


class _Body(Unshown, msgspec.Struct, frozen=True):
    """What an append brings, in whatever request it is."""

    leaves: tuple[bytes, ...] = ()
    records: tuple[Record, ...] = ()
    append: _Body | None = None


class _Unsent(Unshown, msgspec.Struct, frozen=True, array_like=True):
    """A request as it was sent, the log's size it builds on, and the one memory it begins.

    Where it ``covers``, it brings no entries: a head alone, over the log of that size.
    """

    base: int
    begins: bytes
    method: str
    path: str
    body: bytes
    media: str = JSON
    headers: dict[str, str] = {}
    params: tuple[tuple[str, str], ...] = ()
    by_head: bool = False
    covers: bool = False

    def request(self) -> Request:
        """The same request again."""
        return Request(
            self.method,
            self.path,
            self.body,
            media=self.media,
            headers=self.headers,
            params=self.params,
            by_head=self.by_head,
        )

    def brings(self) -> _Body:
        """The append in it.

        Raises:
            StoreDamagedError: there is none.
        """
        body = decoded(_decode_json if self.media == JSON else _decode_packed, self.body)
        return body.append or body

    def is_over(self, position: Position) -> bool:
        """Whether it is in the log that was verified up to here, or can never be any more."""
        covered = self.covers and position.frontier.size >= self.base
        return covered or position.size > self.base


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Unsent).decode
_decode_json = msgspec.json.Decoder(_Body).decode
_decode_packed = msgspec.msgpack.Decoder(_Body).decode


def hold(
    state: VaultState,
    base: int,
    request: Request,
    begins: bytes = b"",
    beside: Mapping[str, bytes] | None = None,
    *,
    covers: bool = False,
    of_drafts: bool = False,
) -> bytes | None:
    """Keep a change that is about to be sent, and values beside it, where no power cut takes it.

    Of one that brings what was said before, that is said beside it, for who counts what waits.
    None if another one waits to be settled first.
    """
    note = _encode(
        _Unsent(
            base,
            begins,
            request.method,
            request.path,
            request.body,
            request.media,
            request.headers,
            request.params,
            request.by_head,
            covers,
        )
    )
    kept = seal_note(state.keys.keyring, _NAME, note, random=state.ambient.random)
    noted = {_OF_DRAFTS: kept[-_END:]} if of_drafts else {}
    return kept if state.store.claim(_NAME, kept, {**(beside or {}), **noted}) else None


@contextmanager
def given_up_if_refused(state: VaultState, kept: bytes) -> Iterator[None]:
    """Forget a kept change when the server says that it will not take it."""
    try:
        yield
    except LogMovedError:
        raise
    except REFUSED:
        give_up(state, kept)
        raise


def is_waiting(state: VaultState) -> bool:
    """Whether a change is kept until it is answered; needs no keys."""
    return bool(state.store.meta(_NAME))


def brings_drafts(state: VaultState) -> bool:
    """Whether the change that is kept brings memories that are noted as words too; needs no keys.

    It is told by how it ends, sealed: of one that was kept before, nothing holds for the next.
    """
    kept = state.store.meta(_NAME) or _NONE
    return bool(kept) and state.store.meta(_OF_DRAFTS) == kept[-_END:]


def waiting(state: VaultState) -> bytes | None:
    """The memory that the change begins which is kept until it is answered; None if none is."""
    kept = state.store.meta(_NAME)
    note = open_note(state.keys.keyring, _NAME, kept) if kept else None
    return None if note is None else _read(note).begins


def digests_waiting(state: VaultState) -> frozenset[bytes]:
    """The digests of the versions that the change brings which is kept until it is answered."""
    kept = state.store.meta(_NAME) or _NONE
    with suppress(StoreAlteredError):  # somebody else's: that is told by the next sync
        note = open_note(state.keys.keyring, _NAME, kept) if kept else None
        if note:
            return frozenset(record.digest for record in _read(note).brings().records)
    return frozenset()


def still_waiting(state: VaultState) -> list[Unkept]:
    """The change that waits, as its owner is told: a server may be away for ever."""
    kept = state.store.meta(_NAME) or _NONE
    note = None
    with suppress(StoreAlteredError):  # somebody else's: that is told by the next sync
        note = open_note(state.keys.keyring, _NAME, kept) if kept else None
    unsent = None if note is None else _read(note)
    if unsent is None or unsent.covers:
        return []
    loss = _as_loss(state.keys.keyring, unsent, 0, WAITING)
    return [] if loss.arrived(state) else [as_shown(WAITING, loss)]


def _as_loss(keyring: Keyring, unsent: _Unsent, at: int, why: str) -> Loss:
    body = unsent.brings()
    return Loss(at, why, unsent.base, body.leaves, words_of(keyring, body.records))


def give_up(state: VaultState, kept: bytes, note: Mapping[str, bytes] | None = None) -> bool:
    """Forget a kept change, unless another one is there by now; a loss is noted with that.

    Whether it was there: if not, another process of this device has done with it.

    A passphrase that it would have put in place is forgotten with it; keys that a key change would,
    are not its own.
    """
    intended = load_intended(state.store)
    own = intended is not None and intended.generation == state.account.generation
    beside = intended_meta(None) if own else {}
    return state.store.release(_NAME, kept, {**beside, **(note or {})})


class Resent(Unshown, msgspec.Struct, frozen=True):
    """What became of the last change, where it was to begin one memory.

    Attributes:
        begun: the id of that memory, if the server has it now.
        overtaken: the memory, if others wrote first, so that it can never be accepted.
        noted: the loss that is noted of it then.
    """

    begun: bytes = b""
    overtaken: Record | None = None
    noted: frozenset[str] = frozenset()


_NOTHING = Resent()


def resend(state: VaultState) -> Flow[Resent]:
    """Find out what became of the last change, by sending it again; nothing if none waits.

    Raises:
        NetworkError: the server is still away; the change stays.
        TrustError: the server says that the log has grown, and shows nothing of it.
        StoreAlteredError: what waits is not this vault's; it is dropped, after a sync.
    """
    kept = state.store.meta(_NAME) or _NONE
    if not kept:
        return _NOTHING
    try:
        note = open_note(state.keys.keyring, _NAME, kept)
    except StoreAlteredError:
        # It may stand where a change of ours did: what the server has of that is read first.
        yield from sync(state)
        give_up(state, kept)
        raise
    # None where the keys were changed since: then it is in the log, or never will be.
    unsent = None if note is None else _read(note)
    why = OVERTAKEN if unsent else KEYS_CHANGED
    if unsent is not None and not unsent.is_over(state.position()):
        why = yield from _looked_and_again(state, unsent)
    loss = _lost(state, unsent, why)
    begins = unsent.begins if unsent else b""
    anew = bool(begins) and why == OVERTAKEN
    lost = {} if loss is None else noted(state, [loss], tried=anew)
    is_ours = give_up(state, kept, lost | _written(state, unsent))
    if begins and state.store.state(begins):
        return Resent(begun=begins)
    if unsent is None or not anew or not is_ours:
        return _NOTHING
    (record,) = unsent.brings().records
    return Resent(overtaken=record, noted=frozenset(name for name, value in lost.items() if value))


def is_sealed_here(state: VaultState, generation: int) -> bool:
    """Whether a change waits, or was given up, that nobody reads without that generation's keys."""
    kept = state.store.noted(PREFIX) | state.store.noted(DRAFTS)
    notes = [state.store.meta(_NAME) or _NONE, *kept.values()]
    return any(is_of(note, generation) for note in notes)


def brought_along(state: VaultState, before: Keyring, after: Keyring) -> dict[str, bytes]:
    """What waits, or was given up, under the keys of before; as it is kept with those that follow.

    What waits is given up: what was signed with keys of before is in the log, or never will be. It
    is not written anew either, whatever it is, nor what was said behind it: who has those keys may
    have put it here. So the owner is told what it says, and says it again.
    """
    notes = sealed_anew(state, before, after)
    said = noted_under(state, before)
    behind = losses(state, said, KEYS_CHANGED)
    notes |= dict.fromkeys(said, _NONE)
    kept = state.store.meta(_NAME) or _NONE
    note = None
    with suppress(StoreAlteredError):  # somebody else's: that is told by the next sync
        note = open_note(before, _NAME, kept) if kept else None
    if note is None:
        return notes | noted(state, behind, keyring=after)
    unsent = _read(note)
    loss = _as_loss(before, unsent, state.ambient.now(), KEYS_CHANGED)
    told = behind if unsent.covers else [loss, *behind]
    return notes | noted(state, told, keyring=after) | SETTLED


def _read(note: bytes) -> _Unsent:
    return decoded(_decode, note)


def _lost(state: VaultState, unsent: _Unsent | None, why: str) -> Loss | None:
    """What a change that is given up would have done; None if it was done."""
    now = state.ambient.now()
    if unsent is None:  # nobody can read it any more, nor tell whether it arrived
        return Loss(now, why)
    loss = _as_loss(state.keys.keyring, unsent, now, why)
    over = unsent.covers or loss.arrived(state) or are_drafts(state, unsent.brings().records)
    return None if over else loss


def _written(state: VaultState, unsent: _Unsent | None) -> dict[str, bytes]:
    """What lets go of the words of what has arrived, in the step that says so."""
    body = unsent.brings() if unsent else _Body()
    if unsent is None or not Loss(0, "", unsent.base, body.leaves).arrived(state):
        return {}
    headers = (parse_header(record.header) for record in body.records)
    return without_drafts(state, (item.memory_id for item in headers if item.version == 1))


def _looked_and_again(state: VaultState, unsent: _Unsent) -> Flow[str]:
    """As :func:`_again`; what shows a title is not, where the log has outgrown it meanwhile."""
    yield from look_before_again(state, (item.header for item in unsent.brings().records))
    if unsent.is_over(state.position()):
        return OVERTAKEN
    return (yield from _again(state, unsent))


def _again(state: VaultState, unsent: _Unsent) -> Flow[str]:
    """Send it again; why it is given up, if it did not arrive."""
    response = yield from send(state, unsent.request())
    try:
        succeed(response)
    except LogMovedError:
        pass
    except REFUSED as refused:
        return refused.code
    yield from sync(state)
    if not unsent.is_over(state.position()):
        message = "the server says that the log has grown, and shows nothing that is new"
        raise TrustError(message)
    return OVERTAKEN
