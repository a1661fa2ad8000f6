"""Log in, and send requests as the owner. docs/spec/3-keys.md, Login."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import msgspec

from coffret.flows.gone import check_gone, check_kept
from coffret.flows.http import (
    JSON,
    MSGPACK,
    Bearer,
    Request,
    Response,
    b64,
    decode_json,
    encode_json,
    problem,
    succeed,
    unb64,
)
from coffret.flows.proof import Prover, Session, proved
from coffret.flows.state import load_intended
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import (
    CoffretError,
    CredentialsError,
    FormatError,
    KeysChangedError,
    LockedError,
    NetworkError,
    SessionEndedError,
    SessionError,
    TrustError,
)
from coffret_vault.formats.account import KEYSLOT, LOGIN, Kdf
from coffret_vault.formats.account import Login as LoginStatement
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.unshown import Unshown
from coffret_vault.keyslots.session_names import seal_session_name
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.symmetric import generate_key

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from coffret.flows.state import AccountFile, Ambient, Login, VaultState
    from coffret_vault.keyring import Keyring
    from coffret_vault.keyslots.slots import Place


class _KdfAnswer(msgspec.Struct, frozen=True):
    algorithm: str
    salt: str
    m: int  # of any size: what is within the limits is judged there, and only that is used
    t: int
    p: int


class _ChallengeAnswer(msgspec.Struct, frozen=True):
    account_id: str
    slot_id: str
    nonce: str
    kdf: _KdfAnswer | None = None


class _LoginAnswer(Unshown, msgspec.Struct, frozen=True):
    token: Bearer


class Challenge(msgspec.Struct, frozen=True):
    """What a server asks a device to sign, and how it says the passphrase is stretched."""

    account_id: bytes
    slot_id: bytes
    nonce: bytes
    kdf: Kdf | None


def challenge(username: str, kind: str) -> Flow[Challenge]:
    """Ask for a challenge. An unknown user gets one too, so this says nothing about who exists."""
    body = encode_json({"username": username, "kind": kind})
    answer = decode_json(
        succeed((yield Request("POST", "/auth/challenge", body))), _ChallengeAnswer
    )
    if (answer.kdf is None) != (kind == "recovery"):
        message = "the server's challenge is for another kind of keyslot"
        raise TrustError(message)
    return Challenge(
        account_id=parse_id(answer.account_id),
        slot_id=parse_id(answer.slot_id),
        nonce=unb64(answer.nonce),
        kdf=_kdf(answer.kdf),
    )


def _kdf(answer: _KdfAnswer | None) -> Kdf | None:
    if answer is None:
        return None
    salt = unb64(answer.salt)
    if answer.algorithm != "argon2id" or len(salt) != _SALT:
        message = "the server names passphrase parameters that are not Argon2id's"
        raise FormatError(message)
    return Kdf(salt, answer.m, answer.t, answer.p)


LOG_IN_AGAIN = (
    "Log in again with your passphrase and Secret Key of now (coffret login). What is on this "
    "device stays. If you changed nothing, do not: someone else has your keys, or the server lies."
)
_NOT_TAKEN = "The new passphrase did not reach the server; unlock with the one before it."
_SALT = 16
_TRIES = 3


def answer_challenge(
    place: Place,
    username: str,
    asked: Challenge,
    login: Login,
    ambient: Ambient,
    *,
    keyring: Keyring | None = None,
) -> Flow[Session]:
    """Sign a challenge and give the session, with a key made for it.

    With a keyring, which a device that enters has not yet, the session is named after this device.
    A challenge works once, so where the answer is lost another one is asked for.

    Raises:
        CredentialsError: the server did not accept it; it does not say why.
        TrustError: asked again, the server challenges for something else.
    """
    key = SigningKey(generate_key(ambient.random))
    named = _named(keyring, key.public, ambient)
    for _ in range(_TRIES - 1):
        try:
            response = yield _signed(place, asked, login.key, key.public, named)
        except NetworkError:
            again = yield from challenge(username, login.kind)
            if msgspec.structs.replace(again, nonce=asked.nonce) != asked:
                message = "the server's challenge is for another keyslot than before"
                raise TrustError(message) from None
            asked = again
        else:
            return _session(response, key, ambient)
    return _session((yield _signed(place, asked, login.key, key.public, named)), key, ambient)


def _session(response: Response, key: SigningKey, ambient: Ambient) -> Session:
    return Session(decode_json(succeed(response), _LoginAnswer).token, Prover(key, ambient))


def _named(keyring: Keyring | None, session: bytes, ambient: Ambient) -> dict[str, str]:
    """What a login says of the device, for the owner's other devices alone."""
    if keyring is None:
        return {}
    sealed = seal_session_name(keyring, session, ambient.device(), random=ambient.random)
    return {"name": b64(sealed)}


def _signed(
    place: Place, asked: Challenge, login: SigningKey, session: bytes, named: dict[str, str]
) -> Request:
    statement = LOGIN.serialize(
        LoginStatement(place.origin, place.account_id, asked.slot_id, asked.nonce, session)
    )
    body = encode_json(
        {
            "account_id": id_text(place.account_id),
            "slot_id": id_text(asked.slot_id),
            "nonce": b64(asked.nonce),
            "session_public_key": b64(session),
            "signature": b64(sign_statement(login, "login", statement)),
            **named,
        }
    )
    return Request("POST", "/auth/login", body, repeatable=False)


def log_in(state: VaultState) -> Flow[None]:
    """Log this device in again with the key of the slot that unlocked it.

    Raises:
        TrustError: the server's challenge is for another account than ours.
        KeysChangedError: the slot was replaced: log in again with the new passphrase.
        AccountDeletedError: the account was deleted, as its keys or the server say.
        LockedError: the vault was locked meanwhile; it has no session then.
    """
    login, locks = state.keys.login, state.locks
    check_kept(state)
    asked = yield from own_challenge(state, login)
    username = state.account.username
    session = yield from answer_challenge(
        state.place, username, asked, login, state.ambient, keyring=state.keys.keyring
    )
    if state.locks != locks:
        yield from let_go(session)
        raise LockedError
    state.session = session


def let_go(session: Session) -> Flow[None]:
    """End a session that nobody here uses any more; unheard, it lasts until it ends by itself."""
    with suppress(CoffretError):
        yield from ended(session)


def ended(session: Session) -> Flow[Response]:
    """Ask the server to end a session, by itself: the vault may be locked."""
    return (yield from proved(in_session(Request("POST", "/auth/logout"), session)))


def own_challenge(state: VaultState, login: Login) -> Flow[Challenge]:
    """Ask for a challenge to this account's owner, for the keyslot at hand.

    Raises:
        TrustError: the server's challenge is for another account than ours.
        KeysChangedError: the slot was replaced: log in again with the new passphrase.
        CredentialsError: its replacement never reached the server.
        AccountDeletedError: the account was deleted, as its keys or the server say.
    """
    asked = yield from challenge(state.account.username, login.kind)
    if asked.account_id != state.account_id:
        yield from check_gone(state)
        message = "the server answers for another account than the one on this device"
        raise TrustError(message)
    _check_slot(state, asked, login)
    return asked


def _check_slot(state: VaultState, asked: Challenge, login: Login) -> None:
    if asked.slot_id != login.slot_id:
        intended = load_intended(state.store)
        here = intended is not None and login.slot_id in _slots(intended)
        if here and asked.slot_id in _slots(state.account):
            raise CredentialsError(hint=_NOT_TAKEN)
        raise KeysChangedError(hint=LOG_IN_AGAIN)


def _slots(account: AccountFile) -> set[bytes]:
    return {KEYSLOT.parse(slot).slot_id for slot in account.keyslots}


def send(state: VaultState, request: Request) -> Flow[Response]:
    """Send a request as the owner, logging in first or again where that is needed.

    Returns whatever the server answered, errors included.

    Raises:
        SessionEndedError: the owner ended the session elsewhere; the vault is locked then.
        KeysChangedError: the owner did so by changing the keys.
        AccountDeletedError: or by deleting the account; the vault stays as it is.
    """
    response = yield from _as_owner(state, request)
    if response.status == SessionError.http_status:
        if isinstance(problem(response), SessionEndedError):
            yield from _locked(state)
        state.session = None
        response = yield from _as_owner(state, request)
    return response


def _locked(state: VaultState) -> Flow[NoReturn]:
    """Lock a vault whose session was ended, and say why as far as it shows."""
    login = state.keys.login
    asked = yield from challenge(state.account.username, login.kind)
    if asked.account_id == state.account_id:
        _check_slot(state, asked, login)
    else:
        state.session = None
        yield from check_gone(state)
    state.lock()
    raise SessionEndedError


def _as_owner(state: VaultState, request: Request) -> Flow[Response]:
    if state.session is None:
        yield from log_in(state)
    return (yield from proved(in_session(request, state.session)))


def in_session(request: Request, session: Session | None) -> Request:
    """A request, and the one after it, with a session's token and proof."""
    if session is None:
        return request
    ahead = None if request.ahead is None else in_session(request.ahead, session)
    return msgspec.structs.replace(request, token=session.token, prover=session.prover, ahead=ahead)


def get(
    state: VaultState, path: str, *params: tuple[str, str], media: str = JSON
) -> Flow[Response]:
    """Read something as the owner. Errors of the server are raised as ours."""
    request = Request("GET", path, media=media, params=params)
    return succeed((yield from send(state, request)))


def get_packed(state: VaultState, path: str, *params: tuple[str, str]) -> Flow[Response]:
    """The same from the data plane."""
    return (yield from get(state, path, *params, media=MSGPACK))


def create(state: VaultState, path: str, body: object) -> Flow[Response]:
    """POST JSON as the owner under an idempotency key, so that it may be sent twice."""
    key = id_text(state.ambient.new_id())
    request = Request("POST", path, encode_json(body), headers={"Idempotency-Key": key})
    return succeed((yield from send(state, request)))
