"""Append to the vault's log: every change by an owner goes through here.

docs/spec/5-log.md and 7-http.md, Append. A change is described by a function of the store, not by
bytes, because another device may have written in between: then what is missing is read and
verified, and the change is described anew.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.backoff import back_off
from coffret.flows.drafts import are_noted, notes_drafts
from coffret.flows.hints import said_not_kept, said_of_another, said_to_wait
from coffret.flows.http import (
    MSGPACK,
    LogMovedError,
    Request,
    Response,
    encode_msgpack,
    succeed,
)
from coffret.flows.keys import open_record
from coffret.flows.overtaken import anew, stands
from coffret.flows.session import send
from coffret.flows.sync import sync
from coffret.flows.unkept import let_go
from coffret.flows.unsent import (
    REFUSED,
    SETTLED,
    give_up,
    given_up_if_refused,
    hold,
    resend,
    waiting,
)
from coffret.flows.written import Accept, Change, Wrap, put_change
from coffret_vault.envelope.signature import signed_head
from coffret_vault.errors import (
    ConflictError,
    NetworkError,
    ServerError,
    StoreMovedError,
    TrustError,
)
from coffret_vault.formats.checkpoint import NO_HEAD, Head, SignedHead
from coffret_vault.formats.entry import PUT, Entry, Leaf, serialize_entry
from coffret_vault.formats.memory import Record
from coffret_vault.log.replay import NEW, advance
from coffret_vault.log.tree import leaf_hash
from coffret_vault.log.verify import MEMORY_KINDS, Verified
from coffret_vault.store import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret_vault.log.replay import MemoryState
    from coffret_vault.log.tree import Frontier
    from coffret_vault.log.verify import Position
    from coffret_vault.primitives.identity import SigningKey

_UNMOVED = 3
"""So often a server may say that others wrote, and show nothing of it."""
_ROUNDS = 100
"""Each round that is lost is one that another device won, so this is a bound on others' haste.

With the waits between them it takes others that never pause three quarters of a minute.
"""


class Append(msgspec.Struct, frozen=True):
    """An append as it is sent."""

    base: int
    leaves: tuple[bytes, ...]
    head: str
    records: tuple[Record, ...] = ()
    accepts: tuple[Accept, ...] = ()
    wraps: tuple[Wrap, ...] = ()
    unwraps: tuple[tuple[bytes, bytes], ...] = ()


class Sent(msgspec.Struct, frozen=True):
    """A change, the append that carries it, and what is kept when the server took it."""

    change: Change
    append: Append
    verified: Verified


def build(state: VaultState, change: Change, signing: SigningKey | None = None) -> Sent:
    """Turn a change into an append on top of what this device has verified, under a new head.

    The head is signed with the owner's key, or with the ``signing`` key that is to follow it.

    Raises:
        TrustError: the change does not follow from what is there; it is ours, so it is a defect.
        ConflictError: it has no entries, and there are none any more that no head covers.
    """
    position = state.position()
    leaves = tuple(map(serialize_entry, change.entries))
    if not leaves and not position.tail:
        message = "another head covers the log by now"
        raise ConflictError(message)
    frontier = position.frontier.copy()
    for leaf in (*position.tail, *leaves):
        frontier.append_hash(leaf_hash(leaf))
    key = signing or state.keys.identity.signing
    signed = _next_head(state, position, frontier, key)
    append = Append(
        position.size,
        leaves,
        signed.note,
        tuple(row.record for row in change.records),
        change.accepts,
        change.wraps,
        change.unwraps,
    )
    moved = msgspec.structs.replace(position, head=signed, frontier=frontier, tail=())
    parsed = tuple(map(_own_leaf, change.entries, leaves))
    states = _states(state, change, position.size)
    return Sent(change, append, Verified(moved, leaves, parsed, position.size, states))


def _own_leaf(entry: Entry, leaf: bytes) -> Leaf:
    return Leaf(entry, leaf, b"")


def _states(state: VaultState, change: Change, size: int) -> dict[bytes, MemoryState]:
    """Where the memories stand after a change.

    Its leaves and its signature were made here a moment ago: only what others say is verified.
    """
    entries = [(at, e) for at, e in enumerate(change.entries, size) if e.kind in MEMORY_KINDS]
    states = state.store.states_of({entry.subject for _, entry in entries}, checked=True)
    for index, entry in entries:
        states[entry.subject] = advance(states.get(entry.subject) or NEW, entry, index)
    return states


def _next_head(
    state: VaultState, position: Position, frontier: Frontier, key: SigningKey
) -> SignedHead:
    known = position.head
    if known is not None and known.head.size == frontier.size:
        message = "a second head would be signed for one log"
        raise TrustError(message)
    before = NO_HEAD if known is None else known.digest
    now = state.ambient.now()
    head = Head(state.account_id, frontier.size, frontier.root(), before, now)
    return signed_head(key, head)


def keep(state: VaultState, sent: Sent) -> None:
    """Store what the server took."""
    change, states = sent.change, sent.verified.states
    accepted = [_accepted(state, accept) for accept in change.accepts]
    in_force = [row for row in accepted if states[row.memory_id].current == row.version]
    state.store.commit(
        sent.verified,
        (*change.records, *in_force),
        change.grants,
        wraps=change.held,
        unwraps=change.unwraps,
        meta=change.meta | SETTLED,
    )


def _arrived(state: VaultState, sent: Sent) -> bool:
    """Whether the server had taken the change after all: the answer was lost, and others wrote.

    One without entries is a head alone: whoever's head covers the log now, there is no need of it.
    """
    base = sent.append.base
    if not sent.append.leaves:
        return state.position().frontier.size >= base
    if any(state.store.leaf(at) != leaf for at, leaf in enumerate(sent.append.leaves, base)):
        return False
    state.store.grants.settle(sent.change.held, sent.change.unwraps)
    return True


def _accepted(state: VaultState, accept: Accept) -> StoredRecord:
    memory_id, version, kek, wrap = accept
    record = state.store.record(memory_id, version)
    if record is None:
        raise ConflictError
    return StoredRecord(memory_id, version, msgspec.structs.replace(record, kek=kek, wrap=wrap))


def append(
    state: VaultState,
    describe: Callable[[], Change],
    submit: Callable[[Append], Request] | None = None,
) -> Flow[Response]:
    """Append a change, reading what others wrote in between as often as that happens.

    Args:
        state: the vault.
        describe: makes the change from what is in the store; called again after each sync.
        submit: the request that carries the append; ``POST /log`` when None.

    Raises:
        ConflictError: the change makes no sense any more, or others keep getting in first.
        NetworkError: the server is away. The change is kept, and sent again before the next one.
    """
    unmoved, going = 0, (yield from _begin(state, describe, submit or _plain))
    for lost in range(_ROUNDS):
        begins = _begins(going.sent.change)
        with said_to_wait(begins):
            response = yield from send(state, going.request)
        try:
            with said_to_wait(begins), given_up_if_refused(state, going.kept):
                succeed(response)
        except LogMovedError:
            with said_to_wait(begins):
                yield from back_off(state.ambient, lost)
                yield from sync(state)
        else:
            with said_to_wait(begins):
                yield from _keep_or_read(state, going)
            return response
        if _arrived(state, going.sent):
            give_up(state, going.kept)
            return response
        if state.store.size() != going.sent.append.base:
            give_up(state, going.kept)
            unmoved, going = 0, (yield from _begin(state, describe, submit or _plain))
            continue
        # Never a second head over one log: the very same append is sent again.
        unmoved += 1
        if unmoved == _UNMOVED:
            message = "the server says that others wrote, and shows nothing that they did"
            with said_to_wait(begins):
                raise TrustError(message)
    raise LogMovedError


class _Going(msgspec.Struct, frozen=True):
    """A change on its way: how it is sent, and how it is kept until it is answered."""

    sent: Sent
    request: Request
    kept: bytes


def _begin(
    state: VaultState, describe: Callable[[], Change], submit: Callable[[Append], Request]
) -> Flow[_Going]:
    """Make the append, and keep it before it leaves.

    Where another one was left unanswered, this one is thrown away, and made anew after that.
    """
    state.store.check_seals()  # before anything is signed, and not when it is to be kept
    if state.position().head is None:  # a first sync was killed: what is signed upon nothing forks
        with said_not_kept():
            yield from sync(state)
    for lost in range(_ROUNDS):
        sent = build(state, describe())
        request = submit(sent.append)
        begins, beside = _begins(sent.change), sent.change.beside
        how = {"covers": not sent.append.leaves, "of_drafts": notes_drafts(sent.change.meta)}
        kept = hold(state, sent.append.base, request, begins, beside, **how)
        if kept is None:
            with said_not_kept():
                yield from back_off(state.ambient, lost)
                yield from settle_last(state)
        elif _stands(state, sent):
            return _Going(sent, request, kept)
        else:  # another process of this device wrote meanwhile: no second head goes out
            give_up(state, kept)
    raise LogMovedError


def _stands(state: VaultState, sent: Sent) -> bool:
    """Whether the log here is still the one that an append was made for.

    And whether its owner took back, in another process, none of the words that it brings.
    """
    base = sent.append.base
    if not are_noted(state, sent.change.meta):
        return False
    if not sent.append.leaves and state.position().frontier.size >= base:
        return False
    return state.store.size() == base


def _begins(change: Change) -> bytes:
    """The one memory that a change begins and does nothing else, if it is such a one."""
    if len(change.entries) != 1:
        return b""
    entry = change.entries[0]
    return entry.subject if entry.kind == PUT and entry.version == 1 else b""


def _keep_or_read(state: VaultState, going: _Going) -> Flow[None]:
    """Store what the server took; where another process of this device was quicker, read it."""
    try:
        keep(state, going.sent)
    except StoreMovedError:
        yield from sync(state)
        state.store.grants.settle(going.sent.change.held, going.sent.change.unwraps)
        give_up(state, going.kept)


def _plain(body: Append) -> Request:
    return Request("POST", "/log", encode_msgpack(body), media=MSGPACK, by_head=True)


def settle_last(state: VaultState) -> Flow[bytes]:
    """Find out what became of the last change: it is sent again, or what it began written anew.

    Returns:
        The id of the memory that it began, if it was one and the server has it now; else nothing.

    Raises:
        NetworkError: the server is still away; the change stays.
        TrustError: the server says that the log has grown, and shows nothing of it.
        StoreAlteredError: what waits is not this vault's; it is dropped, after a sync.
    """
    found = yield from resend(state)
    if found.overtaken is None:
        return found.begun
    opened = open_record(state, found.overtaken)
    memory_id = opened.header.memory_id

    def describe() -> Change:
        if state.store.state(memory_id) is not None:
            raise ConflictError
        return put_change(state, [anew(state, opened.header, opened.payload)])

    try:
        with suppress(*REFUSED), said_of_another():  # the first as where it is sent again
            yield from append(state, describe)
    except (NetworkError, ServerError):
        if waiting(state) == memory_id:  # it is kept again, on top of what others wrote
            let_go(state, found.noted)
        raise
    if not stands(state, opened.header, opened.payload):
        return b""  # what it would have said stays noted, whatever has its id
    let_go(state, found.noted)
    return memory_id
