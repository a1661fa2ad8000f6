"""Approve a request: settle what is shared, sign it, hand over the keys. docs/spec/6-grants.md."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.appcheck import confirm_app
from coffret.flows.append import Append, Change, append
from coffret.flows.batches import BATCH
from coffret.flows.freshness import NEED_KEYS, stale_among
from coffret.flows.grantfeed import (
    ACTIVATING,
    ACTIVE,
    grant_wrapping,
    sharing_name,
    wrapping_for,
)
from coffret.flows.http import (
    MSGPACK,
    Request,
    encode_json,
    encode_msgpack,
    succeed,
)
from coffret.flows.memories import rekey
from coffret.flows.requests import (
    PENDING,
    Narrowing,
    fetch_request,
    matching_ids,
    request_digest,
)
from coffret.flows.session import send
from coffret.flows.sync import silent, sync
from coffret.flows.unsent import settle
from coffret_vault.errors import (
    ConflictError,
    FormatError,
    InputError,
    StoreAlteredError,
    TrustError,
)
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import Entry
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.memory import KEK, parse_header, peek_header
from coffret_vault.formats.sharing import UPDATE, Selector
from coffret_vault.grants.approve import Terms, make_grant
from coffret_vault.records.seal import unwrap_memory_key, wrap_memory_key
from coffret_vault.store import GrantRow, open_note, seal_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from coffret.flows.appcheck import Confirmation
    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress
    from coffret_vault.grants.approve import CheckedRequest, MadeGrant
    from coffret_vault.records.seal import Wrapping


_WRAPS = 5_000
_MICROS = 1_000_000
_ID = 16
_NOT_OUR_LIST = "the list of what this grant shares was changed on this device; nothing was shared"
_ASK_AGAIN = "Revoke the grant, and have the app ask again."


def approve(
    state: VaultState,
    request_id: str,
    narrowing: Narrowing,
    given: Confirmation,
    progress: Progress = silent,
) -> Flow[str]:
    """Approve a request, narrowed as the owner likes, and hand its keys to the server, wrapped.

    An approval that was interrupted goes on where it was when it is called again.

    Returns:
        The grant's id.

    Raises:
        NotFoundError: there is no such request.
        ConflictError: the request was decided already, or withdrawn.
        InputError: the narrowing cannot be, or the request was not looked at before.
        AppUnconfirmedError: nothing shows who the app is: it needs its words.
        TrustError: the request is not what the app signed, or was shown; the app's keys have
            changed; its domain names others; or the approval would widen it.
    """
    yield from settle(state)  # an approval whose answer was lost is not made twice
    yield from sync(state)
    answer, asked = yield from fetch_request(state, request_id)
    row = _own_grant(state, asked)
    if row is not None:
        _check_interrupted(state, asked, row, narrowing)
        grant_id = row.statement().grant_id
    elif answer.state == PENDING:
        _check_shown(state, asked)
        yield from confirm_app(state, asked, given)
        grant_id = yield from _decide(state, asked, _terms(state, asked, narrowing))
    else:
        message = "this request has been decided or withdrawn"
        raise ConflictError(message)
    yield from _hand_over(state, grant_id, progress)
    return id_text(grant_id)


def _own_grant(state: VaultState, asked: CheckedRequest) -> GrantRow | None:
    """The grant that answers a request, as this device knows it: the server's word is not asked."""
    rows = (row for row in state.store.grants.all() if row.request == asked.request_bytes)
    return next(rows, None)


def _check_interrupted(
    state: VaultState, asked: CheckedRequest, row: GrantRow, narrowing: Narrowing
) -> None:
    """Refuse to go on with an approval that was completed, or that was another one."""
    if row.state != ACTIVATING:
        message = "this request has been approved already"
        raise ConflictError(message)
    grant = row.statement()
    made = (grant.scopes, grant.standing, grant.auto_accept, grant.expires, grant.selector)
    if narrowing == Narrowing():
        return
    terms = _terms(state, asked, narrowing)
    expires = grant.created + terms.seconds * _MICROS
    if made != (terms.scopes, terms.standing, terms.auto_accept, expires, terms.selector):
        message = "an approval of this request on other terms was interrupted"
        raise ConflictError(message, hint="Approve without terms to finish it, or revoke it first.")


def _check_shown(state: VaultState, asked: CheckedRequest) -> None:
    """Approve only what was looked at: an id alone, which apps choose, says nothing of who asks."""
    known = state.asked.get(asked.request.request_id)
    if known is None:
        message = "look at the request before you approve it"
        raise InputError(message, hint="vault.requests() shows who asks, for what.")
    if known != request_digest(asked):
        message = "the server shows another request than the one that was looked at"
        raise TrustError(message)


def _terms(state: VaultState, asked: CheckedRequest, narrowing: Narrowing) -> Terms:
    request = asked.request
    listed = narrowing.memories is not None or bool(narrowing.exclude)
    if listed and narrowing.standing:
        message = "a standing grant covers whatever matches; it cannot leave memories out"
        raise InputError(message)
    seconds = request.seconds
    if narrowing.duration is not None:
        seconds = int(narrowing.duration.total_seconds())
    return Terms(
        scopes=request.scopes if narrowing.scopes is None else narrowing.scopes,
        selector=_listed(state, request.selector, narrowing) if listed else request.selector,
        seconds=seconds,
        standing=narrowing.standing,
        auto_accept=narrowing.auto_accept,
    )


def _listed(state: VaultState, selector: Selector, narrowing: Narrowing) -> Selector:
    found = set(map(id_text, matching_ids(state, selector)))
    chosen = found if narrowing.memories is None else narrowing.memories
    unknown = (chosen | narrowing.exclude) - found
    if unknown:
        message = f"{len(unknown)} of the memories named are not among those asked for"
        raise InputError(message)
    left = chosen - narrowing.exclude
    if not left:
        message = "nothing would be shared; deny the request instead"
        raise InputError(message)
    return Selector(ids=frozenset(parse_id(item) for item in left))


def _decide(state: VaultState, asked: CheckedRequest, terms: Terms) -> Flow[bytes]:
    keys, ambient = state.keys, state.ambient
    try:
        made = make_grant(
            keys.keyring,
            keys.identity,
            asked,
            terms,
            grant_id=ambient.new_id(),
            now=ambient.now(),
            random=ambient.random,
        )
    except FormatError as error:
        raise InputError(str(error)) from None
    path = f"/access-requests/{id_text(asked.request.request_id)}/decision"

    def submit(body: Append) -> Request:
        grant = {
            "grant": made.signed.message,
            "sealed_key": made.signed.sealed_key,
            "signature": made.signed.signature,
            "owner_wrap": made.owner_wrap,
            "generation": made.generation,
        }
        decision = {"decision": "approve", "grant": grant, "append": body}
        return Request("POST", path, encode_json(decision))

    chosen = _chosen(state, terms)
    # Before it is sent: should the answer be lost, the sync that finds it goes on from here.
    name = sharing_name(made.grant.grant_id)
    state.store.set_meta(name, seal_note(keys.keyring, name, chosen, random=ambient.random))
    yield from append(state, lambda: _grant_change(state, asked, made), submit)
    return made.grant.grant_id


def _chosen(state: VaultState, terms: Terms) -> bytes:
    """The ids of the memories that are shared, one after another: settled when it is decided."""
    if not terms.scopes & NEED_KEYS:
        return b""
    return b"".join(matching_ids(state, terms.selector))


def _grant_change(state: VaultState, asked: CheckedRequest, made: MadeGrant) -> Change:
    digest = hashlib.sha256(made.signed.message).digest()
    grant = made.grant
    entry = Entry(
        account_id=state.account_id,
        kind=kinds.GRANT,
        subject=grant.grant_id,
        version=1,
        digest=digest,
        author=OWNER,
        time=grant.created,
    )
    row = GrantRow(
        grant=made.signed.message,
        manifest=asked.manifest_bytes,
        owner_wrap=made.owner_wrap,
        generation=made.generation,
        request=asked.request_bytes,
        state=ACTIVATING,
        version=1,
        granted_at=state.position().size,
    )
    return Change(entries=(entry,), grants=(row,))


def _hand_over(state: VaultState, grant_id: bytes, progress: Progress) -> Flow[None]:
    """Wrap the keys of all that is granted, upload them, and put the grant in force."""
    row = state.store.grants.get(grant_id)
    if row is None or row.state != ACTIVATING:
        message = "this grant is not waiting to be put in force"
        raise ConflictError(message)
    path = f"/grants/{id_text(grant_id)}"
    wanted = _to_share(state, grant_id)
    if UPDATE in row.statement().scopes:
        yield from _freshen(state, wanted)
    wraps = list(_wraps(state, row, wanted))
    for at in range(0, len(wraps), _WRAPS):
        part = wraps[at : at + _WRAPS]
        body = encode_msgpack({"wraps": part})
        succeed((yield from send(state, Request("POST", f"{path}/wraps", body, media=MSGPACK))))
        state.store.grants.add_wraps(grant_id, [(memory, number) for memory, number, _ in part])
        progress("keys", at + len(part), len(wraps))
    succeed((yield from send(state, Request("POST", f"{path}/activate"))))
    now = state.store.grants.get(grant_id)
    if now is not None and now.state == ACTIVATING:
        state.store.grants.put(msgspec.structs.replace(now, state=ACTIVE))
    state.store.set_meta(sharing_name(grant_id), b"")


def _to_share(state: VaultState, grant_id: bytes) -> set[bytes]:
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
    return {kept[at : at + _ID] for at in range(0, len(kept), _ID)}


def _freshen(state: VaultState, wanted: AbstractSet[bytes]) -> Flow[None]:
    """Fresh keys for what the app may write to: it is not to write under a key that others know."""
    stale = stale_among(state, sorted(wanted))
    for at in range(0, len(stale), BATCH):
        yield from rekey(state, stale[at : at + BATCH])


def _wraps(
    state: VaultState, row: GrantRow, wanted: AbstractSet[bytes]
) -> Iterator[tuple[bytes, int, bytes]]:
    """The keys of the memories that are shared, wrapped for the grant.

    No envelope is opened: a memory key's wrap authenticates which memory it is of.
    """
    wrapping = grant_wrapping(state, row)
    own: dict[bytes, Wrapping] = {}
    for memory_id, _, record in state.store.current_records():
        if memory_id not in wanted:
            continue
        if record.kek not in own:
            own[record.kek] = wrapping_for(state, KEK.decode(record.kek), {})
        header = peek_header(record.header) or parse_header(record.header)
        key = unwrap_memory_key(header, record.wrap, own[record.kek])
        wrap = wrap_memory_key(header, key, wrapping, random=state.ambient.random)
        yield memory_id, header.key_number, wrap
