"""Access requests as the owner sees them, and the approval. docs/spec/6-grants.md."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import msgspec

from coffret.flows.appcheck import end_grants, look_at_domain, not_checked
from coffret.flows.http import (
    decode_json,
    next_page,
    unb64,
)
from coffret.flows.memories import read_id
from coffret.flows.pins import app_keys, is_pinned, keys_changed, warnings_about
from coffret.flows.session import create, get
from coffret.flows.spoilt import open_current
from coffret.flows.state import Looked
from coffret.flows.sync import sync
from coffret.sharing import (
    UNREADABLE,
    AccessRequestInfo,
    app_info,
    from_wire,
    id_of,
    shown,
    unreadable,
)
from coffret_vault.errors import ConflictError, FormatError, TrustError
from coffret_vault.formats.account import keys_hash
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.memory import parse_header, peek_header
from coffret_vault.formats.sharing import ACCESS_REQUEST
from coffret_vault.grants.approve import check_request
from coffret_vault.grants.apps import Signed
from coffret_vault.grants.select import matches, matches_unopened
from coffret_vault.grants.words import check_words
from coffret_vault.records.memory import from_micros
from coffret_vault.records.seal import to_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.sharing import AppCheck, Requested
    from coffret_vault.formats.sharing import Selector
    from coffret_vault.grants.approve import CheckedRequest
    from coffret_vault.records.memory import Memory

    _Meant = dict[Selector, "_Matching"]
    _Read = tuple["_RequestAnswer", CheckedRequest | None]

T = TypeVar("T")
_MOST = 500
_ID = 16
PENDING = "pending"
APPROVED = "approved"
LAPSED = "lapsed"
_LAPSE = (7 * 86_400 + 300) * 1_000_000
"""Microseconds after which nobody decides about a request any more, with what clocks differ by."""


State = Literal["pending", "approved", "denied", "cancelled", "lapsed", "superseded"]
"""What becomes of a request. In a server's answer nothing else is believed, or ever shown."""


class _RequestAnswer(msgspec.Struct, frozen=True):
    request_id: str
    state: State
    request: str
    signature: str
    manifest: str
    manifest_signature: str
    grant_id: str | None = None


class _Matching(NamedTuple):
    """The memories that a selector means now, and their ids, one after another."""

    memories: tuple[Memory, ...]
    ids: bytes


class Narrowing(msgspec.Struct, frozen=True):
    """How an owner's approval differs from what was asked; None leaves a thing as it was asked.

    Attributes:
        scopes: only these.
        memories: only these ids, of those that match.
        exclude: not these ids.
        duration: for no longer than this.
        standing: also memories written later; has to be chosen, even when it was asked for.
        auto_accept: what the app writes needs no review.
    """

    scopes: frozenset[str] | None = None
    memories: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    duration: timedelta | None = None
    standing: bool = False
    auto_accept: bool = False


def requests(state: VaultState, which: str | None = PENDING) -> Flow[list[AccessRequestInfo]]:
    """The requests to this owner in one state, or in any; each verified before it is shown.

    Where one of them shows other keys of an app that was approved before, that app's grants are
    ended. No app's domain is asked: a request that nobody looked at must not make a device call.
    What does not parse here is shown as that: one app keeps no owner from what others ask.

    Raises:
        TrustError: the server shows a request that no app signed, or that is to someone else, or
            two by one id.
    """
    answers = yield from _answers(state, which)
    if any(which not in (None, answer.state) for answer in answers):
        message = "the server shows requests in another state than was asked for"
        raise TrustError(message)
    read = yield from _heard(state, lambda: _all_read(state, answers))
    found = [(answer, asked) for answer, asked in read if which in (None, answer.state)]
    _check_ids(state, [asked for _, asked in found if asked])
    state.checked.clear()
    for answer, asked in found:
        yield from _look(state, answer, asked)
    pending = [asked for answer, asked in found if asked and answer.state == PENDING]
    meant = _matching(state, {asked.request.selector for asked in pending})
    if which == PENDING:
        state.asked.clear()  # all that wait are in the list: of the others nothing is kept
    return [_info(state, answer, asked, meant) for answer, asked in found]


def _check_ids(state: VaultState, shown: Iterable[CheckedRequest]) -> None:
    """See that no two requests have one id: by its id alone the one that is meant is approved.

    Raises:
        TrustError: two have. Apps choose the ids, and no honest server takes one twice.
    """
    digests: dict[bytes, bytes] = {}
    for asked in shown:
        identifier, digest = asked.request.request_id, shown_digest(asked)
        if digests.setdefault(identifier, digest) != digest:
            state.asked.pop(identifier, None)
            message = "the server shows two requests by one id"
            raise TrustError(message)


def _look(state: VaultState, answer: _RequestAnswer, asked: CheckedRequest | None) -> Flow[None]:
    """End what an app was granted under other keys than it is shown with."""
    if asked and answer.state == PENDING and keys_changed(state, asked.manifest):
        yield from end_grants(state, asked.manifest.app_id)


def request(state: VaultState, request_id: str) -> Flow[AccessRequestInfo]:
    """One request, looked at as :func:`requests` does, whatever else this owner is asked.

    Raises:
        NotFoundError: there is no such request.
        ConflictError: it is to keys that the owner has changed since.
        TrustError: the server shows another one.
    """
    answer, asked = yield from _fetch(state, request_id)
    state.checked.clear()
    yield from _look(state, answer, asked)
    wanted = {asked.request.selector} if asked and answer.state == PENDING else set()
    meant = _matching(state, wanted)
    return _info(state, answer, asked, meant)


def _answers(state: VaultState, which: str | None) -> Flow[list[_RequestAnswer]]:
    """The server's list, page by page: as many as can be open at a time, and no request twice.

    Raises:
        TrustError: the list does not end.
    """
    found: dict[str, _RequestAnswer] = {}
    cursor: str | None = ""
    while cursor is not None and len(found) < _MOST:
        params = [("state", which)] if which else []
        params += [("cursor", cursor)] if cursor else []
        response = yield from get(state, "/access-requests", *params)
        before = len(found)
        for answer in decode_json(response, list[_RequestAnswer]):
            found.setdefault(answer.request, answer)
        cursor = next_page(response)
        if cursor is not None and len(found) == before:
            message = "the server's list of access requests does not end"
            raise TrustError(message)
    return list(found.values())


def shown_digest(asked: CheckedRequest) -> bytes:
    """What stands for all that an owner looks at: what is asked, and by whom it says it is."""
    return hashlib.sha256(asked.request_bytes + asked.manifest_bytes).digest()


def _checked(state: VaultState, answer: _RequestAnswer) -> CheckedRequest:
    signed = Signed(unb64(answer.request), unb64(answer.signature))
    manifest = Signed(unb64(answer.manifest), unb64(answer.manifest_signature))
    owner = keys_hash(state.card.signing_public, state.card.sealing_public)
    if answer.state != PENDING and _asks_before(state, answer):
        owner = ACCESS_REQUEST.parse(signed.message).owner_keys_hash
    return check_request(signed, manifest, state.account_id, owner)


def _read(state: VaultState, answer: _RequestAnswer) -> _Read:
    """A request, verified; None where it or the app's manifest does not parse here.

    A server of an older Unicode takes texts that are not in the normal form that we know. One that
    shows a request again which was denied, or lapsed, has only as long as requests wait: the app
    signed when it asked.
    """
    try:
        asked = _checked(state, answer)
    except FormatError:
        return answer, None
    if answer.state == PENDING and state.ambient.now() - asked.request.created > _LAPSE:
        answer = msgspec.structs.replace(answer, state=LAPSED)
    return answer, asked


def _all_read(state: VaultState, answers: Iterable[_RequestAnswer]) -> list[_Read]:
    return [
        _read(state, answer)
        for answer in answers
        if not (answer.state == PENDING and _asks_before(state, answer))
    ]


def _heard(state: VaultState, read: Callable[[], T]) -> Flow[T]:
    """What is read of requests, after a sync where they are not to the keys that are known here.

    These may have been changed by this very device, whose server's answer was lost. Then it is the
    sync that tells, and nobody is accused.
    """
    try:
        return read()
    except TrustError:
        yield from sync(state)
        return read()


def _asks_before(state: VaultState, answer: _RequestAnswer) -> bool:
    """Whether a request is to keys that the owner has changed since: the app has to ask again."""
    try:
        asked = ACCESS_REQUEST.parse(unb64(answer.request)).owner_keys_hash
    except FormatError:
        return False
    cards = (reign.parse() for reign in state.account.earlier)
    return any(keys_hash(card.signing_public, card.sealing_public) == asked for card in cards)


def _info(
    state: VaultState, answer: _RequestAnswer, asked: CheckedRequest | None, meant: _Meant
) -> AccessRequestInfo:
    where = answer.state
    if asked is None:
        return unreadable(id_text(parse_id(answer.request_id)), where)
    request = asked.request
    matching, digest = _Matching((), b""), b""
    state.asked.pop(request.request_id, None)
    if where == PENDING:
        matching, digest = meant[request.selector], shown_digest(asked)
        state.asked[request.request_id] = Looked(digest, matching.ids)
    return AccessRequestInfo(
        request_id=id_text(request.request_id),
        app=app_info(asked.manifest, known=is_pinned(state, asked.manifest)),
        state=where,
        scopes=request.scopes,
        selection=from_wire(request.selector),
        purpose=shown(request.purpose),
        retention=shown(request.retention),
        duration=timedelta(seconds=request.seconds),
        standing=request.standing,
        created=from_micros(request.created),
        matching=matching.memories,
        warnings=tuple(warnings_about(state, asked.manifest)),
        digest=digest,
    )


def _matching(state: VaultState, selectors: set[Selector]) -> _Meant:
    """The current memories that each of these selectors means now.

    However many ask, a memory is opened once at most, and kept once for all of them: else as many
    requests as can be open would take the whole vault that often.
    """
    meant: dict[Selector, list[Memory]] = {selector: [] for selector in selectors}
    ids = {selector: bytearray() for selector in selectors}
    for row in state.store.current_records() if meant else ():
        header = parse_header(row.record.header)
        maybe = [pair for pair in meant.items() if matches_unopened(pair[0], header) is not False]
        if not maybe:
            continue
        opened = open_current(state, *row)
        memory = to_memory(opened.header, opened.payload)
        for selector, memories in maybe:
            if matches(selector, memory):
                memories.append(memory)
                ids[selector] += row.memory_id
    return {
        selector: _Matching(tuple(memories), bytes(ids[selector]))
        for selector, memories in meant.items()
    }


def look_of(shown: AccessRequestInfo) -> Looked | None:
    """What somebody was shown of a request; None where that was not one to approve."""
    covered = b"".join(parse_id(memory.id) for memory in shown.matching)
    return Looked(shown.digest, covered) if shown.digest else None


def was_shown(looked: Looked) -> frozenset[bytes]:
    """The memories that matched when a request was shown."""
    ids = looked.covered
    return frozenset(ids[at : at + _ID] for at in range(0, len(ids), _ID))


def matching_ids(state: VaultState, selector: Selector) -> Iterator[bytes]:
    """The ids of those memories; envelopes are opened only where the header does not tell."""
    return (memory_id for memory_id, _ in matching_keys(state, selector))


def matching_keys(state: VaultState, selector: Selector) -> Iterator[tuple[bytes, int]]:
    """The same, each with the number of its key."""
    for memory_id, version, record in state.store.current_records():
        if selector.everything:
            beginning = peek_header(record.header) or parse_header(record.header)
            yield memory_id, beginning.key_number
            continue
        header = parse_header(record.header)
        fits = matches_unopened(selector, header)
        if fits is None:
            opened = open_current(state, memory_id, version, record)
            fits = matches(selector, to_memory(opened.header, opened.payload))
        if fits:
            yield memory_id, header.key_number


def fetch_request(
    state: VaultState, request_id: str
) -> Flow[tuple[_RequestAnswer, CheckedRequest]]:
    """A request by its id, as the app signed it, with what the server says of it.

    Raises:
        ConflictError: it is to keys that the owner has changed since.
        FormatError: it does not parse here.
        TrustError: the server shows another one.
    """
    answer, asked = yield from _fetch(state, request_id)
    if asked is None:
        raise FormatError(UNREADABLE)
    return answer, asked


def _fetch(state: VaultState, request_id: str) -> Flow[_Read]:
    """As :func:`fetch_request`; None where it does not parse here."""
    identifier = read_id(request_id)
    path = f"/access-requests/{id_text(identifier)}"
    answer = decode_json((yield from get(state, path)), _RequestAnswer)
    if answer.state == PENDING and _asks_before(state, answer):
        message = "this was asked before your keys were changed; the app has to ask again"
        raise ConflictError(message)
    answer, asked = yield from _heard(state, partial(_read, state, answer))
    named = parse_id(answer.request_id) if asked is None else asked.request.request_id
    if named != identifier:
        message = "the server shows another request than the one that was asked for"
        raise TrustError(message)
    return answer, asked


def check_app(
    state: VaultState, request: Requested, words: str | None = None, *, check_domain: bool = True
) -> Flow[AppCheck]:
    """Compare an app with its words, and ask its domain about it; nothing is approved.

    Raises:
        NotFoundError: there is no such request.
        WordsError: the words are of another app.
        TrustError: the server shows another request.
    """
    _, asked = yield from fetch_request(state, id_of(request))
    if words is not None:
        check_words(words, app_keys(asked.manifest))
    if not check_domain:
        return not_checked(asked)
    return (yield from look_at_domain(state, asked))


def deny(state: VaultState, request: Requested) -> Flow[None]:
    """Turn a request down."""
    path = f"/access-requests/{id_text(read_id(id_of(request)))}/decision"
    yield from create(state, path, {"decision": "deny"})
