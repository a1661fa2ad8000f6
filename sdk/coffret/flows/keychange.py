"""Change every key of a vault, because someone may know them. docs/spec/3-keys.md, Key change.

What the keys are changed to is made here and nowhere else: the server names no key, no recipient
and no memory that is not in the log. Until it took the change, in one step, everything is as it
was; from then on everything is new. The new kit is handed out before that step, so that whatever
happens the owner has what opens the vault.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.append import Append, Sent, build
from coffret.flows.aside import aside
from coffret.flows.backoff import back_off
from coffret.flows.grantfeed import REVOKED, grant_wrapping, move_grant
from coffret.flows.http import (
    MSGPACK,
    Count,
    LogMovedError,
    Request,
    decode_msgpack,
    encode_json,
    encode_msgpack,
    succeed,
)
from coffret.flows.newkeys import NewKeys, make_keys
from coffret.flows.proof import proved
from coffret.flows.recovering import OVER
from coffret.flows.session import LOG_IN_AGAIN, get_packed, in_session, send
from coffret.flows.signup import keyslot_entry
from coffret.flows.slots import own_slots
from coffret.flows.state import intended_meta, sealing
from coffret.flows.sync import silent, sync
from coffret.flows.unsent import REFUSED, brought_along
from coffret.flows.waiting import settle
from coffret.flows.written import Change
from coffret_vault.envelope import wrap_key
from coffret_vault.errors import (
    KeysChangedError,
    LockedError,
    NetworkError,
    OpenError,
    StoreMovedError,
    TrustError,
)
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.account import KEYSLOT
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import Entry
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import KEK, Kek, parse_header, peek_header
from coffret_vault.formats.sharing import grant_key_wrap_header
from coffret_vault.log.lineage import Reign
from coffret_vault.records.rewrap import KeyName, rewrap
from coffret_vault.records.seal import Wrapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret.flows.http import Flow
    from coffret.flows.state import AccountFile, VaultState
    from coffret.flows.sync import Progress
    from coffret.kit import RecoveryKit
    from coffret_vault.formats.memory import Record
    from coffret_vault.store import GrantRow, StoredRecord

    Wraps = dict[KeyName, bytes]
    Candidates = dict[KeyName, list[bytes]]

_PAGE = 5_000
MOST_PAGES = 10_000
"""Of memory keys: fifty million entries. A server could go on up to the end of all numbers."""
_NO_END = "the server's list of memory keys does not end"
_ROUNDS = 100


class KeyChange(msgspec.Struct, frozen=True):
    """What a key change did.

    Attributes:
        memory_keys: how many memory keys were wrapped anew.
        grants: the ids of the grants that it ended; their apps have to ask again.
    """

    memory_keys: int
    grants: tuple[str, ...]


class KeysPage(msgspec.Struct, frozen=True, array_like=True):
    """Memory keys as the server keeps them, and where the next ones begin."""

    next: Count | None
    keys: list[tuple[bytes, int, bytes, bytes]]


def change_keys(
    state: VaultState,
    passphrase: str,
    hand_out: Callable[[RecoveryKit], None],
    progress: Progress = silent,
) -> Flow[KeyChange]:
    """Make every key anew, and end every grant and every other session.

    Args:
        state: the vault, unlocked.
        passphrase: the new one.
        hand_out: gives the new kit to the owner; called before anything is sent. If it raises,
            nothing was changed.
        progress: told how many memory keys are wrapped.

    Raises:
        KeysChangedError: another device changed them first; or the server took this change and
            this device was stopped before it kept it. Log in again, with the new kit.
        TrustError: the server's wraps do not open, or it shows another log.
        LockedError: the vault was locked meanwhile. Where the server had taken the change by then,
            unlock as before, and log in again with the new kit.
    """
    yield from settle(state)  # what waits would come behind the keys that are wrapped
    yield from sync(state, progress)
    state.refresh()
    made = yield from aside(partial(make_keys, state, passphrase))
    hand_out(made.kit)
    state.store.take_over((), intended_meta(made.account))
    try:
        return (yield from _change_to(state, made, progress))
    except REFUSED:  # for certain: nothing that the kit opens will ever be
        state.store.take_over((), intended_meta(None))
        raise


def _change_to(state: VaultState, made: NewKeys, progress: Progress) -> Flow[KeyChange]:
    wraps: Wraps = {}
    for lost in range(_ROUNDS):
        yield from back_off(state.ambient, lost)
        size = state.position().size
        yield from _stage(state, made, wraps, progress)
        done = yield from _switch(state, made, wraps, size)
        if done is not None:
            return done
    raise LogMovedError


def key_name(record: Record) -> KeyName:
    """Which memory key seals a record."""
    header = peek_header(record.header) or parse_header(record.header)
    return KeyName(header.memory_id, header.key_number)


def _stage(state: VaultState, made: NewKeys, staged: Wraps, progress: Progress) -> Flow[None]:
    """Wrap every memory key anew and have the server keep the wraps for the change.

    What is here counts; of the server's wraps those are taken that older versions need.
    """
    found: Candidates = {}
    for row in state.store.records_under(_kek(state.account)):
        found.setdefault(key_name(row.record), []).append(row.record.wrap)
    for name, wrap in (yield from _kept_wraps(state)).items():
        found.setdefault(name, []).append(wrap)
    new = [(name, wraps) for name, wraps in found.items() if name not in staged]
    total = len(staged) + len(new)
    for at in range(0, len(new), _PAGE):
        part = _rewrapped(state, made, new[at : at + _PAGE])
        wraps = [(*name, wrap) for name, wrap in part.items()]
        body = encode_msgpack({"change_id": made.change_id, "wraps": wraps})
        request = Request("POST", "/accounts/me/rewraps", body, media=MSGPACK)
        succeed((yield from send(state, request)))
        staged.update(part)
        progress("keys", len(staged), total)


def _kek(account: AccountFile) -> bytes:
    return KEK.encode(Kek(generation=account.generation))


def _kept_wraps(state: VaultState) -> Flow[Wraps]:
    """What the server has, which may know of older versions than this device keeps."""
    found: Wraps = {}
    at = 0
    for _ in range(MOST_PAGES):
        page = yield from keys_page(state, at)
        for memory_id, number, _kek, wrap in page.keys:
            found.setdefault(KeyName(memory_id, number), wrap)
        if page.next is None:
            return found
        at = page.next
    raise TrustError(_NO_END)


def keys_page(state: VaultState, at: int) -> Flow[KeysPage]:
    """The memory keys that the server keeps from an index of the log on.

    Raises:
        TrustError: its pages lead back.
    """
    params = (("from", str(at)), ("limit", str(_PAGE)))
    page = decode_msgpack(
        (yield from get_packed(state, "/accounts/me/memory-keys", *params)), KeysPage
    )
    if page.next is not None and page.next <= at:
        raise TrustError(_NO_END)
    return page


def _rewrapped(state: VaultState, made: NewKeys, part: list[tuple[KeyName, list[bytes]]]) -> Wraps:
    """These keys, each from the first of its wraps that opens.

    What is here counts first. Where it was changed in this device's folder, since a wrap is under
    no digest of the log, the server's is as good: it opens, and of the same key.
    """
    ring = made.keys.keyring
    after = Wrapping(Kek(generation=ring.generation), ring.kek("memory"))
    under, random = (state.owner_wrapping(), after), state.ambient.random
    done: Wraps = {}
    for name, wraps in part:
        for wrap in wraps:
            with suppress(OpenError):
                done[name] = rewrap(state.account_id, name, wrap, under, random)
                break
        else:
            message = "the server shows a memory key that does not open; nothing was changed"
            raise TrustError(message)
    return done


def _switch(state: VaultState, made: NewKeys, wraps: Wraps, size: int) -> Flow[KeyChange | None]:
    """Have the server take the change; None if others wrote since the log had that ``size``."""
    yield from settle(state)
    state.refresh()  # another process of this device may have replaced the keyslots
    if state.position().size != size:
        return None
    change, rows = _change(state, made)
    sent = build(state, change, made.keys.identity.signing)
    body = encode_json(_body(made, rows, sent.append))
    try:
        succeed((yield from send(state, Request("POST", "/accounts/me/keys", body))))
    except LogMovedError:
        yield from sync(state)
        if state.position().size == sent.append.base:
            message = "the server says that others wrote, and shows nothing that they did"
            raise TrustError(message) from None
        return None
    _keep(state, made, sent, wraps)
    yield from _leave_session(state)
    ended = [id_text(e.subject) for e in change.entries if e.kind == kinds.REVOKE]
    return KeyChange(len(wraps), tuple(ended))


def _body(made: NewKeys, rows: tuple[GrantRow, ...], append: Append) -> dict[str, object]:
    account = made.account
    return {
        "change_id": id_text(made.change_id),
        "account_card": account.card,
        "card_signature": account.card_signature,
        "succession": made.succession,
        "succession_signature": made.signature,
        "keyslots": account.keyslots,
        "identity": {"generation": account.generation, "envelope": account.identity},
        "grants": [
            {"grant_id": id_text(row.statement().grant_id), "owner_wrap": row.owner_wrap}
            for row in rows
        ],
        "append": append,
    }


def _change(state: VaultState, made: NewKeys) -> tuple[Change, tuple[GrantRow, ...]]:
    """The entries of the change, its own first, and every grant as it is after them."""
    now = state.ambient.now()
    digest = hashlib.sha256(made.succession).digest()
    entries = [_entry(state, kinds.ROTATE, state.account_id, made.account.generation, digest)]
    entries += [keyslot_entry(slot, kinds.KEYSLOT, now) for slot in made.slots]
    gone = map(KEYSLOT.parse, state.account.keyslots)
    entries += [keyslot_entry(slot, kinds.KEYSLOT_REMOVE, now) for slot in gone]
    rows = []
    for before in state.store.grants.all():
        row = _rewrapped_grant(state, made, before)
        if row.state != REVOKED:
            subject, version = row.statement().grant_id, row.version + 1
            digest = hashlib.sha256(row.grant).digest()
            entry = _entry(state, kinds.REVOKE, subject, version, digest)
            row = move_grant(row, entry, state.position().size + len(entries))
            entries.append(entry)
        rows.append(row)
    return Change(entries=tuple(entries), grants=tuple(rows)), tuple(rows)


def _entry(state: VaultState, kind: str, subject: bytes, version: int, digest: bytes) -> Entry:
    now = state.ambient.now()
    return Entry(state.account_id, kind, subject, version, digest, OWNER, now)


def _rewrapped_grant(state: VaultState, made: NewKeys, row: GrantRow) -> GrantRow:
    """A grant whose key is wrapped anew: what its app wrote before can still be read."""
    ring, grant_id = made.keys.keyring, row.statement().grant_id
    header = grant_key_wrap_header(state.account_id, grant_id, ring.generation)
    key = grant_wrapping(state, row).key
    wrap = wrap_key("grant-key", ring.kek("grant"), header, key, random=state.ambient.random)
    return msgspec.structs.replace(row, owner_wrap=wrap, generation=ring.generation)


def _keep(state: VaultState, made: NewKeys, sent: Sent, wraps: Wraps) -> None:
    """Keep what the server took, whole.

    Raises:
        LockedError: the vault was locked meanwhile; what is here was not checked since.
        KeysChangedError: another process of this device was quicker.
    """
    if state.is_locked:
        raise LockedError(hint=LOG_IN_AGAIN)
    card, at, before = state.account.card, sent.append.base, _kek(state.account)
    reign = Reign(card, at, made.succession, made.signature)
    account = msgspec.structs.replace(made.account, earlier=(*state.account.earlier, reign))
    # Another process of this device may have noted down a change while the server was asked.
    meta = partial(_noted, state, made, own_slots(account.keyslots).meta(account))
    records = [_rewrapped_record(row, wraps, _kek(account)) for row in _staged(state, wraps)]
    try:
        state.store.commit(
            sent.verified,
            records,
            sent.change.grants,
            meta=meta,
            sealing=sealing(made.keys, state.ambient),
        )
    except StoreMovedError:
        raise KeysChangedError(hint=LOG_IN_AGAIN) from None
    state.adopt(account, made.keys)
    # A page that another process kept while this was made ready; from now on it keeps none.
    state.store.take_away(state.store.records_under(before))
    state.leave_keys_of_before()
    state.know(made.kit.secret_key)


def _staged(state: VaultState, wraps: Wraps) -> list[StoredRecord]:
    """The records here whose keys were wrapped anew; any other has no key from now on, and goes.

    Another process of this device may have fetched one meanwhile, of which the server hid the key.
    """
    rows = state.store.records_under(_kek(state.account))
    others = [row for row in rows if key_name(row.record) not in wraps]
    if others:
        state.store.take_away(others)
    return [row for row in rows if row not in others]


def _noted(state: VaultState, made: NewKeys, slots: dict[str, bytes]) -> dict[str, bytes]:
    """What is kept under names with new keys: what was noted until then goes along."""
    state.outdated()  # first: whoever is stopped in between has left nothing under those of before
    return slots | OVER | brought_along(state, state.keys.keyring, made.keys.keyring)


def _leave_session(state: VaultState) -> Flow[None]:
    """End the session that made the change, too: its token and key are of before.

    The next request logs in with the new keys. Where this does not arrive, the change is made all
    the same, and the session is listed with the others until it ends.
    """
    session, state.session = state.session, None
    with suppress(NetworkError):
        yield from proved(in_session(Request("POST", "/auth/logout"), session))


def _rewrapped_record(row: StoredRecord, wraps: Wraps, kek: bytes) -> StoredRecord:
    record = msgspec.structs.replace(row.record, kek=kek, wrap=wraps[key_name(row.record)])
    return row._replace(record=record)
