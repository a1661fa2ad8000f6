"""Approve a request: settle what is shared, sign it, hand over the keys. docs/spec/6-grants.md."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from coffret.flows.appcheck import confirm_app
from coffret.flows.append import Append, append
from coffret.flows.freshness import NEED_KEYS
from coffret.flows.grantfeed import ACTIVATING
from coffret.flows.handover import hand_over, sharing_note
from coffret.flows.http import Request, encode_json
from coffret.flows.requests import (
    LAPSED,
    PENDING,
    Narrowing,
    fetch_request,
    look_of,
    matching_ids,
    matching_keys,
    shown_digest,
    was_shown,
)
from coffret.flows.sync import silent, sync
from coffret.flows.waiting import settle
from coffret.flows.written import Change
from coffret.sharing import AccessRequestInfo, id_of
from coffret_vault.errors import (
    ConflictError,
    FormatError,
    InputError,
    TrustError,
)
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import Entry
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.sharing import Selector
from coffret_vault.grants.approve import Terms, make_grant
from coffret_vault.store import GrantRow

if TYPE_CHECKING:
    from coffret.flows.appcheck import Confirmation
    from coffret.flows.http import Flow
    from coffret.flows.state import Looked, VaultState
    from coffret.flows.sync import Progress
    from coffret.sharing import Requested
    from coffret_vault.grants.approve import CheckedRequest, MadeGrant


_MICROS = 1_000_000


def approve(
    state: VaultState,
    request: Requested,
    narrowing: Narrowing,
    given: Confirmation,
    progress: Progress = silent,
) -> Flow[str]:
    """Approve a request, narrowed as the owner likes, and hand its keys to the server, wrapped.

    It is the one that was shown: as it is given, or when that is an id, as it was shown last.
    An approval that was interrupted goes on where it was when it is called again.

    Returns:
        The grant's id.

    Raises:
        NotFoundError: there is no such request.
        ConflictError: the request was decided already, or withdrawn, or has lapsed. Or as
            :func:`~coffret.flows.handover.hand_over`.
        GrantRevokedError: the owner revoked it on another device, before it had all its keys.
        GrantExpiredError: it ended before it had all its keys.
        InputError: the narrowing cannot be, or the request was not looked at before.
        AppUnconfirmedError: nothing shows who the app is: it needs its words.
        TrustError: the request is not what the app signed, or was shown; the app's keys have
            changed; its domain names others; or the approval would widen it.
    """
    yield from settle(state)  # an approval whose answer was lost is not made twice
    yield from sync(state)
    shown = request if isinstance(request, AccessRequestInfo) else None
    answer, asked = yield from fetch_request(state, id_of(request))
    looked = _looked(state, asked, shown)
    row = _own_grant(state, asked)
    if row is not None:
        _check_interrupted(state, asked, row, narrowing)
        grant_id = row.statement().grant_id
    elif answer.state == PENDING:
        covered = was_shown(_at_all(looked))
        yield from confirm_app(state, asked, given)
        terms = _terms(state, asked, narrowing, covered)
        every = terms.standing or narrowing.memories is not None
        grant_id = yield from _decide(state, asked, terms, None if every else covered)
    else:
        message = "this request has been decided or withdrawn"
        if answer.state == LAPSED:
            message = "this request has lapsed, by this device's clock or the server's; see that "
            message += "this one is right, and let the app ask again"
        raise ConflictError(message)
    yield from hand_over(state, grant_id, progress, again=row is not None)
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
    shared = grant.selector.ids or frozenset(matching_ids(state, grant.selector))
    terms = _terms(state, asked, narrowing, shared)
    expires = grant.created + terms.seconds * _MICROS
    if made != (terms.scopes, terms.standing, terms.auto_accept, expires, terms.selector):
        message = "an approval of this request on other terms was interrupted"
        raise ConflictError(message, hint="Approve without terms to finish it, or revoke it first.")


def _looked(
    state: VaultState, asked: CheckedRequest, shown: AccessRequestInfo | None
) -> Looked | None:
    """The look at a request by which it is approved: as it is given, or else the last one.

    Where another part of the program looks as well, only what is given is what the owner was shown.
    """
    known = look_of(shown) if shown else state.asked.get(asked.request.request_id)
    if known is not None and known.digest != shown_digest(asked):
        message = "the server shows another request than the one that was looked at"
        raise TrustError(message)
    return known


def _at_all(looked: Looked | None) -> Looked:
    """Approve only what was looked at: an id alone, which apps choose, says nothing of who asks."""
    if looked is None:
        message = "look at the request before you approve it"
        raise InputError(message, hint="vault.requests() shows who asks, for what.")
    return looked


def _terms(
    state: VaultState, asked: CheckedRequest, narrowing: Narrowing, shown: frozenset[bytes]
) -> Terms:
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
        selector=_listed(state, request.selector, narrowing, shown) if listed else request.selector,
        seconds=seconds,
        standing=narrowing.standing,
        auto_accept=narrowing.auto_accept,
    )


def _listed(
    state: VaultState, selector: Selector, narrowing: Narrowing, shown: frozenset[bytes]
) -> Selector:
    found = set(map(id_text, matching_ids(state, selector)))
    chosen = narrowing.memories
    if chosen is None:
        chosen = frozenset(map(id_text, shown)) & found
    unknown = (chosen | narrowing.exclude) - found
    if unknown:
        message = f"{len(unknown)} of the memories named are not among those asked for"
        raise InputError(message)
    left = chosen - narrowing.exclude
    if not left:
        message = "nothing would be shared; deny the request instead"
        raise InputError(message)
    return Selector(ids=frozenset(parse_id(item) for item in left))


def _decide(
    state: VaultState, asked: CheckedRequest, terms: Terms, shown: frozenset[bytes] | None
) -> Flow[bytes]:
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

    chosen = _chosen(state, terms, shown)
    # Before it is sent: should the answer be lost, the sync that finds it goes on from here.
    for name, note in sharing_note(state, made.grant.grant_id, chosen).items():
        state.store.set_meta(name, note)
    yield from append(state, lambda: _grant_change(state, asked, made), submit)
    return made.grant.grant_id


def _chosen(state: VaultState, terms: Terms, shown: frozenset[bytes] | None) -> dict[bytes, int]:
    """The memories that are shared, with the numbers of their keys: settled when it is decided.

    Of those that match, the ones that were ``shown`` with the request: others may have come since,
    with the sync before it is decided, and a server chooses when. None is all that match.
    """
    if not terms.scopes & NEED_KEYS:
        return {}
    found = matching_keys(state, terms.selector)
    return {name: number for name, number in found if shown is None or name in shown}


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
