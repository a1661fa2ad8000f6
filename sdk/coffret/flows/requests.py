"""Access requests as the owner sees them, and the approval. docs/spec/6-grants.md."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.append import Append, Change, append
from coffret.flows.grantfeed import ACTIVATING, ACTIVE, grant_wrapping, wrapping_for
from coffret.flows.http import (
    MSGPACK,
    Request,
    decode_json,
    encode_json,
    encode_msgpack,
    succeed,
    unb64,
)
from coffret.flows.keys import open_record
from coffret.flows.memories import read_id
from coffret.flows.session import create, get, send
from coffret.flows.sync import silent, sync
from coffret.sharing import AccessRequestInfo, AppInfo, from_wire, shown
from coffret_vault.errors import ConflictError, FormatError, InputError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.account import keys_hash
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import Entry
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.memory import HEADER, KEK, peek_header
from coffret_vault.formats.sharing import READ, UPDATE, Manifest, Selector
from coffret_vault.grants.approve import Terms, check_request, make_grant
from coffret_vault.grants.apps import Signed
from coffret_vault.grants.select import matches
from coffret_vault.grants.words import fingerprint
from coffret_vault.records.memory import from_micros
from coffret_vault.records.seal import to_memory, unwrap_memory_key, wrap_memory_key
from coffret_vault.store import GrantRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret.flows.http import Flow
    from coffret.flows.keys import Opened
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress
    from coffret_vault.formats.memory import Header, Peek
    from coffret_vault.formats.sharing import Grant
    from coffret_vault.grants.approve import CheckedRequest, MadeGrant
    from coffret_vault.primitives.secret import SecretBytes
    from coffret_vault.records.memory import Memory
    from coffret_vault.records.seal import Wrapping

PENDING = "pending"
APPROVED = "approved"
_WRAPS = 5_000
_NEED_KEYS = frozenset((READ, UPDATE))


class _RequestAnswer(msgspec.Struct, frozen=True):
    request_id: str
    state: str
    request: str
    signature: str
    manifest: str
    manifest_signature: str
    grant_id: str | None = None


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


def app_info(manifest: Manifest) -> AppInfo:
    """An app as it is shown to a person."""
    words = fingerprint(keys_hash(manifest.signing_public, manifest.sealing_public))
    return AppInfo(id_text(manifest.app_id), shown(manifest.name), shown(manifest.homepage), words)


def requests(state: VaultState, which: str | None = PENDING) -> Flow[list[AccessRequestInfo]]:
    """The requests to this owner in one state, or in any; each verified before it is shown.

    Raises:
        TrustError: the server shows a request that no app signed, or that is to someone else.
    """
    params = (("state", which),) if which else ()
    response = yield from get(state, "/access-requests", *params)
    answers = decode_json(response, list[_RequestAnswer])
    checked = [(_checked(state, answer), answer.state) for answer in answers]
    state.asked |= {asked.request.request_id: _digest(asked) for asked, _ in checked}
    return [_info(state, asked, where) for asked, where in checked]


def _digest(asked: CheckedRequest) -> bytes:
    return hashlib.sha256(asked.request_bytes).digest()


def _checked(state: VaultState, answer: _RequestAnswer) -> CheckedRequest:
    signed = Signed(unb64(answer.request), unb64(answer.signature))
    manifest = Signed(unb64(answer.manifest), unb64(answer.manifest_signature))
    owner = keys_hash(state.card.signing_public, state.card.sealing_public)
    return check_request(signed, manifest, state.account_id, owner)


def _info(state: VaultState, asked: CheckedRequest, where: str) -> AccessRequestInfo:
    request = asked.request
    matching: tuple[Memory, ...] = ()
    if where == PENDING:
        matching = tuple(view for _, view in _matching(state, request.selector))
    return AccessRequestInfo(
        request_id=id_text(request.request_id),
        app=app_info(asked.manifest),
        state=where,
        scopes=request.scopes,
        selection=from_wire(request.selector),
        purpose=shown(request.purpose),
        retention=shown(request.retention),
        duration=timedelta(seconds=request.seconds),
        standing=request.standing,
        created=from_micros(request.created),
        matching=matching,
    )


def _matching(state: VaultState, selector: Selector) -> Iterator[tuple[Opened, Memory]]:
    for row in state.store.current_records():
        opened = open_record(state, row.record)
        memory = to_memory(opened.header, opened.payload)
        if matches(selector, memory):
            yield opened, memory


def _fetch(state: VaultState, request_id: str) -> Flow[tuple[_RequestAnswer, CheckedRequest]]:
    """A request by its id: the one that was asked for, and the one that was shown, if it was."""
    identifier = read_id(request_id)
    path = f"/access-requests/{id_text(identifier)}"
    answer = decode_json((yield from get(state, path)), _RequestAnswer)
    asked = _checked(state, answer)
    known = state.asked.get(identifier, _digest(asked))
    if (asked.request.request_id, _digest(asked)) != (identifier, known):
        message = "the server shows another request than the one that was asked for"
        raise TrustError(message)
    return answer, asked


def deny(state: VaultState, request_id: str) -> Flow[None]:
    """Turn a request down."""
    path = f"/access-requests/{id_text(read_id(request_id))}/decision"
    yield from create(state, path, {"decision": "deny"})


def approve(
    state: VaultState, request_id: str, narrowing: Narrowing, progress: Progress = silent
) -> Flow[str]:
    """Approve a request, narrowed as the owner likes, and hand its keys to the server, wrapped.

    An approval that was interrupted goes on where it was when it is called again.

    Returns:
        The grant's id.

    Raises:
        NotFoundError: there is no such request.
        ConflictError: the request was decided already, or withdrawn.
        InputError: the narrowing cannot be.
        TrustError: the request is not what the app signed, or the approval would widen it.
    """
    yield from sync(state)
    answer, asked = yield from _fetch(state, request_id)
    if answer.state == APPROVED and answer.grant_id:
        grant_id = yield from _interrupted(state, answer.grant_id)
    elif answer.state == PENDING:
        grant_id = yield from _decide(state, asked, _terms(state, asked, narrowing))
    else:
        message = "this request has been decided or withdrawn"
        raise ConflictError(message)
    yield from _hand_over(state, grant_id, progress)
    return id_text(grant_id)


class _StateAnswer(msgspec.Struct, frozen=True):
    state: str


def _interrupted(state: VaultState, grant_id: str) -> Flow[bytes]:
    """The grant of an approval whose keys were not all handed over."""
    identifier = parse_id(grant_id)
    path = f"/grants/{id_text(identifier)}"
    if decode_json((yield from get(state, path)), _StateAnswer).state != ACTIVATING:
        message = "this request has been approved already"
        raise ConflictError(message)
    return identifier


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
    found = {view.id for _, view in _matching(state, selector)}
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

    yield from append(state, lambda: _grant_change(state, asked, made), submit)
    return made.grant.grant_id


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
    if row is None or row.state not in {ACTIVATING, ACTIVE}:
        message = "this grant is not waiting to be put in force"
        raise ConflictError(message)
    path = f"/grants/{id_text(grant_id)}"
    grant = row.statement()
    wraps = list(_wraps(state, row, grant)) if grant.scopes & _NEED_KEYS else []
    for at in range(0, len(wraps), _WRAPS):
        part = wraps[at : at + _WRAPS]
        body = encode_msgpack({"wraps": part})
        succeed((yield from send(state, Request("POST", f"{path}/wraps", body, media=MSGPACK))))
        state.store.grants.add_wraps(grant_id, [(memory, number) for memory, number, _ in part])
        progress("keys", at + len(part), len(wraps))
    succeed((yield from send(state, Request("POST", f"{path}/activate"))))
    state.store.grants.put(msgspec.structs.replace(row, state=ACTIVE))


def _wraps(state: VaultState, row: GrantRow, grant: Grant) -> Iterator[tuple[bytes, int, bytes]]:
    wrapping = grant_wrapping(state, row)
    for header, key in _keys(state, grant.selector):
        wrap = wrap_memory_key(header, key, wrapping, random=state.ambient.random)
        yield header.memory_id, header.key_number, wrap


def _keys(state: VaultState, selector: Selector) -> Iterator[tuple[Header | Peek, SecretBytes]]:
    """The keys of the memories that a selector means.

    Where it means all or names them, no memory is opened: a key's wrap says whose it is.
    """
    if not (selector.everything or selector == Selector(ids=selector.ids)):
        yield from ((opened.header, opened.key) for opened, _ in _matching(state, selector))
        return
    wrappings: dict[bytes, Wrapping] = {}
    for memory_id, _, record in state.store.current_records():
        if not (selector.everything or memory_id in selector.ids):
            continue
        if record.kek not in wrappings:
            wrappings[record.kek] = wrapping_for(state, KEK.decode(record.kek), {})
        header = peek_header(record.header) or HEADER.parse(record.header)
        yield header, unwrap_memory_key(header, record.wrap, wrappings[record.kek])
