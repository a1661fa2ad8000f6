"""Grants as the owner sees them: list, pause, resume, narrow, revoke, rotate."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from coffret.flows.append import Append, append
from coffret.flows.freshness import exposed, is_stale, live_grants, maker, stale_among
from coffret.flows.grantfeed import ACTIVE, PAUSED, REVOKED, move_grant
from coffret.flows.http import Request, encode_json
from coffret.flows.memories import read_id
from coffret.flows.reach import covers, may_be_exposed, may_hold
from coffret.flows.rekeying import rekey_all, rekey_each
from coffret.flows.sync import silent
from coffret.flows.waiting import settle
from coffret.flows.written import Change
from coffret.sharing import GrantInfo, app_info, from_wire, shown
from coffret_vault.errors import (
    ConflictError,
    GrantActivatingError,
    GrantRevokedError,
    InputError,
    NetworkError,
    NotFoundError,
    QuotaError,
    ServerError,
    StoreAlteredError,
)
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import Entry
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.sharing import ACCESS_REQUEST
from coffret_vault.records.memory import from_micros
from coffret_vault.store import open_note, seal_note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress
    from coffret_vault.log.replay import MemoryState
    from coffret_vault.store import GrantRow

ENDED = "ended"
_FRESHENED = "freshened"
"""Where a device notes which grants were over, as a hash of their ids, when no stale key was left
to be written under, whatever a server says of who holds which. Sealed: else who writes to the
folder could say so of grants that ended since."""
_NONE_OVER = hashlib.sha256().digest()
_HOLDS = (
    "The grant is revoked, and its app served no more. What others may write to is to get fresh "
    "keys yet: each sync tries that again, and names what has none."
)
_UNREADY = (
    "Its device can finish it: approve the request again there, where you approved it. Or revoke "
    "the grant."
)
_DECIDE = "Reject them, or accept them and take them out then: the app that wrote them knows them."
_KINDS = {PAUSED: kinds.PAUSE, ACTIVE: kinds.RESUME, REVOKED: kinds.REVOKE}


def grants(state: VaultState) -> list[GrantInfo]:
    """Every grant this owner ever made, oldest first, as the log says they stand."""
    return [_info(state, row) for row in state.store.grants.all()]


def grant(state: VaultState, grant_id: str) -> GrantInfo:
    """One of them.

    Raises:
        NotFoundError: there is no such grant.
    """
    return _info(state, _row(state, read_id(grant_id)))


def _row(state: VaultState, grant_id: bytes) -> GrantRow:
    row = state.store.grants.get(grant_id)
    if row is None:
        raise NotFoundError
    return row


def _info(state: VaultState, row: GrantRow) -> GrantInfo:
    statement = row.statement()
    over = row.state != REVOKED and statement.expires <= state.ambient.now()
    return GrantInfo(
        grant_id=id_text(statement.grant_id),
        app=app_info(row.app()),
        state=ENDED if over else row.state,
        scopes=statement.scopes,
        selection=from_wire(statement.selector),
        purpose=shown(ACCESS_REQUEST.parse(row.request).purpose),
        standing=statement.standing,
        auto_accept=statement.auto_accept,
        created=from_micros(statement.created),
        expires=from_micros(statement.expires),
        memories=sum(map(bool, state.store.grants.memories(statement.grant_id).values())),
    )


def move(state: VaultState, grant_id: str, target: str) -> Flow[None]:
    """Bring a grant into the state ``paused``, ``active`` or ``revoked``; in force on return.

    After a revocation, what other apps may write to gets a fresh key at once.

    Raises:
        NotFoundError: there is no such grant.
        GrantRevokedError: it is revoked, which is final.
        GrantActivatingError: the device that approved it did not hand all its keys over yet.
        GrantExpiredError: it is over.
        ConflictError: it is in that state already.
        QuotaError: it is revoked, but there is no room for the fresh keys.
    """
    identifier = read_id(grant_id)

    def describe() -> Change:
        row = _row(state, identifier)
        if row.state == REVOKED:
            raise GrantRevokedError
        if row.state == target:
            message = f"the grant is {target} already"
            raise ConflictError(message)
        entry = Entry(
            account_id=state.account_id,
            kind=_KINDS[target],
            subject=identifier,
            version=row.version + 1,
            digest=hashlib.sha256(row.grant).digest(),
            author=OWNER,
            time=state.ambient.now(),
        )
        return Change(entries=(entry,), grants=(move_grant(row, entry, state.position().size),))

    def submit(body: Append) -> Request:
        path = f"/grants/{id_text(identifier)}/state"
        return Request("POST", path, encode_json({"state": target, "append": body}))

    try:
        yield from append(state, describe, submit)
    except GrantActivatingError:
        raise GrantActivatingError(hint=_UNREADY) from None
    if target == REVOKED:
        with _said_to_hold():
            yield from _freshen(state, may_be_exposed(state))


@contextmanager
def _said_to_hold() -> Iterator[None]:
    """Tell who revoked a grant that it is, where what follows on that could not be done."""
    try:
        yield
    except (NetworkError, QuotaError, ServerError) as error:
        error.hint = f"{_HOLDS} {error.hint}".rstrip()
        raise


def freshen(state: VaultState) -> Flow[tuple[int, list[bytes]]]:
    """Give a fresh key to every memory with a stale one that an app is known to write under.

    Where a grant was revoked or has ended since this was done, also to what an app may be able to
    write to besides: who revoked it, on whichever device, may have been cut off before that.

    Returns:
        How many have one, and those that cannot be written again.
    """
    over = _over(state)
    looked = _looked(state) == over
    memories = exposed(state) if looked else stale_among(state, may_be_exposed(state))
    try:
        done = yield from _freshen(state, memories)
    except QuotaError:  # to be said with what else cannot be written: a sync does not stop at it
        return 0, stale_among(state, memories)
    if not looked and not done[1]:  # what could not be written is looked for again
        note = seal_note(state.keys.keyring, _FRESHENED, over, random=state.ambient.random)
        state.store.set_meta(_FRESHENED, note)
    return done


def _looked(state: VaultState) -> bytes:
    """For which grants that are over it was done last. What somebody else put there counts not."""
    sealed, note = state.store.meta(_FRESHENED), None
    with suppress(StoreAlteredError):
        note = open_note(state.keys.keyring, _FRESHENED, sealed) if sealed else None
    return note or _NONE_OVER


def _over(state: VaultState) -> bytes:
    """Which grants are over: not how many, which a clock that goes back can make the same again."""
    live = {row.statement().grant_id for row in live_grants(state)}
    ids = (row.statement().grant_id for row in state.store.grants.all())
    return over_digest(one for one in ids if one not in live)


def over_digest(grants: Iterable[bytes]) -> bytes:
    """What is noted of which grants are over. docs/spec/2-envelope.md, What a device notes."""
    return hashlib.sha256(b"".join(sorted(grants))).digest()


def _freshen(state: VaultState, memories: list[bytes]) -> Flow[tuple[int, list[bytes]]]:
    left = yield from rekey_each(state, memories)
    return len(memories) - len(left), left


def narrow(state: VaultState, grant_id: str, remove: Iterable[str]) -> Flow[int]:
    """Take memories out of a grant: they get fresh keys, which this grant is not given.

    Also those that it is not known to hold, where it may: a server can hide that from a device.

    Returns:
        How many memories it lost.

    Raises:
        NotFoundError: there is no such grant.
        InputError: it is a standing grant, and a memory matches it: the next change of that would
            hand it over again.
        ConflictError: one waits to be accepted, which would give the app its key again. Or some
            cannot be written again, and stay in it; the others are out.
    """
    identifier = read_id(grant_id)
    row = _row(state, identifier)
    named = state.store.states_of([read_id(item) for item in remove])
    if early := [key for key, memory in named.items() if memory.pending and not memory.current]:
        names = ", ".join(map(id_text, early))
        message = f"these wait to be accepted, and can be taken out only then: {names}"
        raise ConflictError(message, hint=_DECIDE)
    if row.statement().standing and any(covers(state, row, *item) for item in named.items()):
        message = "a standing grant covers whatever matches; it cannot leave such memories out"
        raise InputError(message, hint="Take away what it matches by, such as a tag, first.")
    gone = [
        memory_id
        for memory_id, memory in named.items()
        if memory.current and may_hold(state, row, memory_id, memory)
    ]
    yield from rekey_all(state, gone, without=identifier)
    return len(gone)


def rotate(
    state: VaultState, grant_id: str | None = None, progress: Progress = silent
) -> Flow[int]:
    """Give fresh keys, now, to the memories whose keys someone may know who is to read no more.

    Args:
        state: the vault.
        grant_id: only those that this grant held, or may have, or that its app made; None for all.
        progress: called after each batch.

    Returns:
        How many memories were written again. Interrupted, it goes on with the rest when called
        again, because what has a fresh key is not stale any more.

    Raises:
        ConflictError: some cannot be written again, and keep their keys; the others do not.
    """
    yield from settle(state)  # of an interrupted rotation, what the server has is not done twice
    identifier = None if grant_id is None else read_id(grant_id)
    knows = _everything if identifier is None else _knowing(state, identifier)
    stale = [
        memory_id
        for memory_id, memory in state.store.states()
        if is_stale(state, memory) and knows(memory_id, memory)
    ]
    yield from rekey_all(state, stale, progress=progress)
    return len(stale)


def _everything(_memory_id: bytes, _memory: MemoryState) -> bool:
    return True


def _knowing(state: VaultState, grant_id: bytes) -> Callable[[bytes, MemoryState], bool]:
    """Tells the memories whose keys a grant's app may have: given to it, or of its own making."""
    row = _row(state, grant_id)
    app_id = row.statement().app_id

    def knows(memory_id: bytes, memory: MemoryState) -> bool:
        return maker(state, memory) == app_id or may_hold(state, row, memory_id, memory)

    return knows
