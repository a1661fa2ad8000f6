"""Register an app, ask an owner for access, take up what was granted. docs/spec/6-grants.md."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from coffret.flows.http import (
    Bearer,
    Request,
    Response,
    decode_json,
    encode_json,
    succeed,
    unb64,
)
from coffret.flows.owners import check_asked, check_owner
from coffret.flows.ownersfile import Asked
from coffret.flows.proof import proved
from coffret.sharing import Selection
from coffret_vault.errors import (
    CoffretError,
    ConflictError,
    CredentialsError,
    FormatError,
    GrantActivatingError,
    GrantError,
    GrantExpiredError,
    GrantPausedError,
    GrantRevokedError,
    InputError,
    NotFoundError,
    OwnerGoneError,
    RequestEndedError,
    RequestPendingError,
    SessionError,
    TrustError,
)
from coffret_vault.formats.account import check_username, keys_hash
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.sharing import AccessRequest, Grant
from coffret_vault.formats.unshown import Unshown
from coffret_vault.grants.apps import (
    Signed,
    SignedGrant,
    open_grant,
    sign_request,
    verify_account_card,
)
from coffret_vault.primitives.secret import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret.flows.appstate import AppState
    from coffret.flows.http import Flow
    from coffret.flows.state import Ambient
    from coffret.sharing import GrantStatus, RequestStatus
    from coffret_vault.formats.account import AccountCard

_SEEDS = 64
_NONCE = 32
_STATES = {
    "activating": GrantActivatingError,
    "paused": GrantPausedError,
    "revoked": GrantRevokedError,
    "ended": GrantExpiredError,
}
_NOT_IN_FORCE: dict[type[GrantError], GrantStatus] = {
    GrantPausedError: "paused",
    GrantRevokedError: "revoked",
    GrantExpiredError: "over",
    OwnerGoneError: "gone",
}
_ENDED = {
    "denied": "the server says that the owner has denied this request",
    "cancelled": "this request was withdrawn",
    "lapsed": "the server says that the owner did not decide about this request in time; ask again",
    "superseded": "the server says that a later request to that owner has taken its place",
}
T = TypeVar("T")


class _DeveloperAnswer(Unshown, msgspec.Struct, frozen=True):
    developer_key: Bearer


class _TokenAnswer(Unshown, msgspec.Struct, frozen=True):
    access_token: Bearer


class _OwnerAnswer(msgspec.Struct, frozen=True):
    account_id: str
    account_card: str
    card_signature: str


class _StateAnswer(msgspec.Struct, frozen=True):
    state: Literal["pending", "approved", "denied", "cancelled", "lapsed", "superseded"]


class _CredentialsAnswer(msgspec.Struct, frozen=True):
    grant: str
    sealed_key: str
    signature: str
    state: str


class Ask(msgspec.Struct, frozen=True):
    """What an app asks an owner for."""

    username: str
    scopes: frozenset[str]
    selection: Selection
    purpose: str
    duration: timedelta
    retention: str = ""
    standing: bool = False
    owner_words: str | None = None


class Held(msgspec.Struct, frozen=True):
    """A grant that this app verified, with its key, and the card of its owner as it was signed.

    ``username`` is the owner's, by which the app asked. What the app knows of an owner it knows by
    that: a card's account id is only what the card says of itself, and may be somebody else's.
    """

    grant: Grant
    key: SecretBytes
    owner: Signed
    username: str

    def __repr__(self) -> str:
        return f"<Held {id_text(self.grant.grant_id)}>"


def register_developer(name: str, contact: str, ambient: Ambient) -> Flow[str]:
    """Register a developer and give the key that registers apps; the server shows it once."""
    body = encode_json({"name": name, "contact": contact})
    request = Request("POST", "/developers", body, headers=_once(ambient))
    return decode_json(succeed((yield request)), _DeveloperAnswer).developer_key


def _once(ambient: Ambient) -> dict[str, str]:
    return {"Idempotency-Key": id_text(ambient.new_id())}


def usable(make: Callable[[], T]) -> T:
    """What can be sent.

    Raises:
        InputError: it is not what its format has room for.
    """
    try:
        return make()
    except FormatError as error:
        raise InputError(str(error)) from None


def send(state: AppState, request: Request) -> Flow[Response]:
    """Send a request as the app, taking a token first or again where that is needed."""
    if not state.token:
        yield from _take_token(state)
    response = yield from _as_app(state, request)
    if response.status == SessionError.http_status:
        yield from _take_token(state)
        response = yield from _as_app(state, request)
    return succeed(response)


def _as_app(state: AppState, request: Request) -> Flow[Response]:
    return (
        yield from proved(msgspec.structs.replace(request, token=state.token, prover=state.prover))
    )


def _take_token(state: AppState) -> Flow[None]:
    state.reread()  # another process of the app may have another key by now
    body = encode_json({"api_key": state.file.api_key})
    request = Request("POST", "/auth/token", body, prover=state.prover)
    response = yield from proved(request)
    try:
        answer = decode_json(succeed(response), _TokenAnswer)
    except CredentialsError:
        message = "the app's API key is not one that the server knows, or was taken back"
        raise CredentialsError(message, hint="App.use_api_key takes another one.") from None
    state.token = answer.access_token


def request_access(state: AppState, ask: Ask) -> Flow[str]:
    """Ask an owner. What was asked is kept, so that the answer can be compared with it.

    Returns:
        The request's id.

    Raises:
        NotFoundError: there is no owner by that name.
        InputError: the request cannot be made like this.
        WordsError: the server shows an owner whose words are others.
        OwnerKeyChangedError: the server shows other keys of the owner than before.
        TrustError: it shows another owner, or by the account of one whom this app knows.
    """
    card_bytes, card = yield from _owner(state, ask.username)
    check_owner(state, card, ask.owner_words)
    ambient = state.ambient
    request = AccessRequest(
        request_id=ambient.new_id(),
        account_id=card.account_id,
        app_id=state.manifest.app_id,
        manifest_digest=hashlib.sha256(state.file.manifest).digest(),
        owner_keys_hash=keys_hash(card.signing_public, card.sealing_public),
        scopes=ask.scopes,
        selector=usable(ask.selection.to_wire),
        purpose=ask.purpose,
        retention=ask.retention,
        seconds=int(ask.duration.total_seconds()),
        standing=ask.standing,
        nonce=ambient.random(_NONCE),
        created=ambient.now(),
    )
    signed = usable(lambda: sign_request(state.identity, request))
    asked = Asked(signed.message, card_bytes.message, card_bytes.signature)
    state.owners.keep(request.request_id, asked)
    body = encode_json({"request": signed.message, "signature": signed.signature})
    headers = _once(ambient)
    yield from send(state, Request("POST", "/access-requests", body, headers=headers))
    return id_text(request.request_id)


def _owner(state: AppState, username: str) -> Flow[tuple[Signed, AccountCard]]:
    path = f"/accounts/by-username/{check_username(username)}"
    try:
        found = yield from send(state, Request("GET", path))
    except NotFoundError:
        message = "nobody has that username at this server"
        raise NotFoundError(message) from None
    answer = decode_json(found, _OwnerAnswer)
    signed = Signed(unb64(answer.account_card), unb64(answer.card_signature))
    card = verify_account_card(signed)
    if card.username != username:
        message = "the server shows another owner than the one asked for"
        raise TrustError(message)
    return signed, card


def status(state: AppState, request_id: str) -> Flow[RequestStatus]:
    """Where a request stands.

    ``pending``, ``approved``, ``denied``, ``cancelled``, ``lapsed``, ``superseded``, or ``gone``
    where the owner has deleted their account. It is the server's word; that a request was approved
    shows by its grant, and nothing that an owner signs speaks of the others.
    """
    path = f"/access-requests/{state.asked(request_id).id}"
    try:
        answer = yield from send(state, Request("GET", path))
    except OwnerGoneError:
        return "gone"
    return decode_json(answer, _StateAnswer).state


def grant_status(state: AppState, request_id: str) -> Flow[GrantStatus | None]:
    """Where the grant stands that came of a request.

    ``active``, ``paused``, ``revoked``, ``over``, ``gone`` with its owner's account, or
    ``activating`` while the owner's device hands its keys over; None where the request is not
    approved.

    Raises:
        TrustError: as for :func:`take_up`.
    """
    try:
        yield from _take_up(state, state.asked(request_id), None)
    except ConflictError:
        return None
    except GrantError as error:
        return _NOT_IN_FORCE.get(type(error), "activating")
    return "active"


def cancel(state: AppState, request_id: str) -> Flow[None]:
    """Withdraw a request that is still pending; again is the same.

    Raises:
        ConflictError: it was decided.
    """
    path = f"/access-requests/{state.asked(request_id).id}/cancel"
    try:
        yield from send(state, Request("POST", path))
    except ConflictError:
        if (yield from status(state, request_id)) != "cancelled":
            raise


def take_up(state: AppState, request_id: str, owner_words: str | None = None) -> Flow[Held]:
    """Take up what an owner granted, verified against what was asked.

    Raises:
        WordsError: the owner who was asked is not the one whose words these are.
        OwnerKeyChangedError: the owner who was asked is not the one that this app knows now.
        RequestPendingError: the owner has not decided about it.
        RequestEndedError: it was denied, withdrawn, superseded, or has lapsed.
        OwnerGoneError: the owner deleted their account.
        GrantError: the grant is paused, revoked, expired, or not ready yet.
        TrustError: what the server shows is not that owner's answer to that request.
    """
    asked = state.asked(request_id)
    try:
        return (yield from _take_up(state, asked, owner_words))
    except ConflictError:
        raise undecided((yield from status(state, request_id))) from None


def undecided(standing: str) -> CoffretError:
    """Why a request of such a status has no grant."""
    if standing == "gone":
        return OwnerGoneError()
    if standing == "pending":
        return RequestPendingError()
    if standing in _ENDED:
        return RequestEndedError(_ENDED[standing], state=standing)
    return ConflictError()  # decided in between, or a server that contradicts itself


def _take_up(state: AppState, asked: Asked, owner_words: str | None) -> Flow[Held]:
    card = check_asked(state, asked, owner_words)
    path = f"/access-requests/{asked.id}/credentials"
    answer = decode_json((yield from send(state, Request("GET", path))), _CredentialsAnswer)
    signed = SignedGrant(unb64(answer.grant), unb64(answer.sealed_key), unb64(answer.signature))
    grant, key = open_grant(state.identity, asked.parse(), card, signed)
    if grant.expires <= state.ambient.now():
        raise GrantExpiredError
    if answer.state != "active":
        raise _STATES.get(answer.state, GrantError)
    return Held(grant, key, Signed(asked.card, asked.card_signature), card.username)
