"""Access requests as the owner sees them, and the approval. docs/spec/6-grants.md."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.http import (
    decode_json,
    unb64,
)
from coffret.flows.keys import open_record
from coffret.flows.memories import read_id
from coffret.flows.session import create, get
from coffret.sharing import AccessRequestInfo, AppInfo, from_wire, shown
from coffret_vault.errors import TrustError
from coffret_vault.formats.account import keys_hash
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import HEADER
from coffret_vault.grants.approve import check_request
from coffret_vault.grants.apps import Signed
from coffret_vault.grants.select import matches, matches_unopened
from coffret_vault.grants.words import fingerprint
from coffret_vault.records.memory import from_micros
from coffret_vault.records.seal import to_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret.flows.http import Flow
    from coffret.flows.keys import Opened
    from coffret.flows.state import VaultState
    from coffret_vault.formats.sharing import Manifest, Selector
    from coffret_vault.grants.approve import CheckedRequest
    from coffret_vault.records.memory import Memory

PENDING = "pending"
APPROVED = "approved"


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
    state.asked |= {asked.request.request_id: request_digest(asked) for asked, _ in checked}
    return [_info(state, asked, where) for asked, where in checked]


def request_digest(asked: CheckedRequest) -> bytes:
    """What stands for a request in the grant that answers it."""
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
        matching = tuple(view for _, view in matching_memories(state, request.selector))
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
        warnings=tuple(warnings_about(state, asked.manifest)),
    )


CHANGED_KEYS = "this app's keys are not the ones it had when you last approved it"


def warnings_about(state: VaultState, manifest: Manifest) -> Iterator[str]:
    """What a person should know about an app, from the apps that were approved before."""
    known = {row.manifest: row.app() for row in state.store.grants.all()}.values()
    if any(app.app_id == manifest.app_id and _keys_differ(app, manifest) for app in known):
        yield CHANGED_KEYS
    others = [app for app in known if app.app_id != manifest.app_id]
    if any(shown(app.name).casefold() == shown(manifest.name).casefold() for app in others):
        yield "another app that you approved has this name"
    if manifest.homepage and any(app.homepage == manifest.homepage for app in others):
        yield "another app that you approved names this homepage"


def _keys_differ(one: Manifest, other: Manifest) -> bool:
    return keys_hash(one.signing_public, one.sealing_public) != keys_hash(
        other.signing_public, other.sealing_public
    )


def matching_memories(state: VaultState, selector: Selector) -> Iterator[tuple[Opened, Memory]]:
    """The current memories that a selector means now, opened."""
    for row in state.store.current_records():
        if matches_unopened(selector, HEADER.parse(row.record.header)) is False:
            continue
        opened = open_record(state, row.record)
        memory = to_memory(opened.header, opened.payload)
        if matches(selector, memory):
            yield opened, memory


def matching_ids(state: VaultState, selector: Selector) -> Iterator[bytes]:
    """The ids of those memories; envelopes are opened only where the header does not tell."""
    for memory_id, _, record in state.store.current_records():
        fits = matches_unopened(selector, HEADER.parse(record.header))
        if fits is None:
            opened = open_record(state, record)
            fits = matches(selector, to_memory(opened.header, opened.payload))
        if fits:
            yield memory_id


def fetch_request(
    state: VaultState, request_id: str
) -> Flow[tuple[_RequestAnswer, CheckedRequest]]:
    """A request by its id, as the app signed it, with what the server says of it.

    Raises:
        TrustError: the server shows another one.
    """
    identifier = read_id(request_id)
    path = f"/access-requests/{id_text(identifier)}"
    answer = decode_json((yield from get(state, path)), _RequestAnswer)
    asked = _checked(state, answer)
    if asked.request.request_id != identifier:
        message = "the server shows another request than the one that was asked for"
        raise TrustError(message)
    return answer, asked


def deny(state: VaultState, request_id: str) -> Flow[None]:
    """Turn a request down."""
    path = f"/access-requests/{id_text(read_id(request_id))}/decision"
    yield from create(state, path, {"decision": "deny"})
