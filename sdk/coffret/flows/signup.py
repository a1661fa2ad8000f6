"""Make a vault, log in on a new device, recover one. docs/spec/3-keys.md."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.aside import aside
from coffret.flows.http import Count, Request, decode_json, encode_json, succeed, unb64
from coffret.flows.proof import Session, proved
from coffret.flows.session import answer_challenge, challenge, in_session
from coffret.flows.state import AccountFile, Login, Unlocked
from coffret.kit import RecoveryKit
from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.errors import ConflictError, CredentialsError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.account import (
    ACCOUNT_CARD,
    KEYSLOT,
    AccountCard,
    Keyslot,
    check_username,
)
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.checkpoint import NO_HEAD, Head, parse_head
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.settings import Settings, serialize_settings
from coffret_vault.formats.unshown import Unshown
from coffret_vault.grants.apps import Signed, verify_account_card
from coffret_vault.grants.words import fingerprint
from coffret_vault.keyring import Identity, Keyring, generate_identity, open_identity
from coffret_vault.keyslots.kdf import check_passphrase
from coffret_vault.keyslots.slots import (
    RECOVERY_CODE_BYTES,
    SECRET_KEY_BYTES,
    Place,
    SlotKeys,
    SlotPlan,
    derive_passphrase_keys,
    derive_recovery_keys,
    make_keyslot,
    open_keyslot,
)
from coffret_vault.log.settled import Settled
from coffret_vault.log.tree import Frontier
from coffret_vault.log.verify import Position, Verified, Verifier
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import generate_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret.flows.http import Flow
    from coffret.flows.state import Ambient
    from coffret_vault.primitives.identity import SigningKey

SALT = 16
_YOURS = "If that vault is yours: coffret login enters it, with the Secret Key of its recovery kit."
_NEWEST_KIT = "If the keys were changed since this kit was printed, only the newest kit opens it."
FIRST_GENERATION = 1


class Prepared(Unshown, msgspec.Struct, frozen=True):
    """A vault that no server knows yet: what to send, and what to keep."""

    place: Place
    account: AccountFile
    keys: Unlocked
    kit: RecoveryKit
    verified: Verified
    settled: Settled
    body: bytes


class _AccountAnswer(msgspec.Struct, frozen=True):
    account_id: str


def prepare_vault(
    origin: str, username: str, passphrase: str, ambient: Ambient, settings: Settings | None = None
) -> Prepared:
    """Make every key and statement of a new vault, with its settings; nothing is sent.

    Raises:
        InputError: the username is not one.
    """
    check_username(username)
    check_passphrase(passphrase)
    random, now = ambient.random, ambient.now()
    place = Place(origin, ambient.random_id())
    secret_key = SecretBytes(random(SECRET_KEY_BYTES))
    recovery_code = SecretBytes(random(RECOVERY_CODE_BYTES))
    keyring = Keyring(place.account_id, FIRST_GENERATION, generate_key(random))
    identity, sealed_identity = generate_identity(keyring, random=random)
    card, signature = make_card(identity, place.account_id, username, now)
    kdf = ambient.limits.choose(random(SALT))
    by_passphrase = derive_passphrase_keys(
        passphrase, secret_key, place, kdf, limits=ambient.limits
    )
    slots = [
        make_slot(keys, place, keyring, ambient)
        for keys in (by_passphrase, derive_recovery_keys(recovery_code, place))
    ]
    entries = _first_entries(place.account_id, card, slots, now)
    settled = Settled() if settings is None else Settled(1, settings)
    if settled.version:
        entries.append(settings_entry(place.account_id, settled, now))
    verified = _first_log(identity, place.account_id, entries, now)
    raw_slots = tuple(KEYSLOT.serialize(slot) for slot in slots)
    account = AccountFile(
        origin=origin,
        username=username,
        account_id=place.account_id,
        card=card,
        card_signature=signature,
        keyslots=raw_slots,
        generation=FIRST_GENERATION,
        identity=sealed_identity,
        confirmed=True,
    )
    login = Login(slots[0].slot_id, slots[0].kind, by_passphrase.login)
    kit = RecoveryKit(
        origin=origin,
        username=username,
        account_id=place.account_id,
        secret_key=secret_key,
        recovery_code=recovery_code,
        fingerprint=fingerprint(identity.keys_hash),
        head=_note(verified),
    )
    return Prepared(
        place,
        account,
        Unlocked(keyring, identity, login),
        kit,
        verified,
        settled,
        _signup_body(account, verified),
    )


def make_card(
    identity: Identity, account_id: bytes, username: str, now: int
) -> tuple[bytes, bytes]:
    """An account card with its own signature."""
    card = ACCOUNT_CARD.serialize(
        AccountCard(account_id, username, identity.signing.public, identity.sealing.public, now)
    )
    return card, sign_statement(identity.signing, "account", card)


def make_slot(keys: SlotKeys, place: Place, keyring: Keyring, ambient: Ambient) -> Keyslot:
    """A new keyslot for the keyring's newest generation."""
    plan = SlotPlan(ambient.random_id(), keyring.generation, ambient.now())
    return make_keyslot(keys, place, plan, keyring.account_key(), random=ambient.random)


def keyslot_entry(slot: Keyslot, kind: str, now: int) -> Entry:
    """The log entry for a keyslot that comes or goes."""
    digest = hashlib.sha256(KEYSLOT.serialize(slot)).digest()
    return Entry(slot.account_id, kind, slot.slot_id, slot.generation, digest, OWNER, now)


def settings_entry(account_id: bytes, after: Settled, now: int) -> Entry:
    """The log entry that settles this for a vault."""
    switches = serialize_settings(after.settings)
    return Entry(account_id, kinds.SETTINGS, account_id, after.version, switches, OWNER, now)


def _first_entries(account_id: bytes, card: bytes, slots: list[Keyslot], now: int) -> list[Entry]:
    digest = hashlib.sha256(card).digest()
    entries = [Entry(account_id, kinds.ACCOUNT, account_id, 1, digest, OWNER, now)]
    return entries + [keyslot_entry(slot, kinds.KEYSLOT, now) for slot in slots]


def _first_log(identity: Identity, account_id: bytes, entries: list[Entry], now: int) -> Verified:
    leaves = [ENTRY.serialize(entry) for entry in entries]
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    head = Head(account_id, frontier.size, frontier.root(), NO_HEAD, now)
    start = Position(account_id, identity.signing.public, None, Frontier())
    verifier = Verifier(start, lambda _: None, lambda _: None)
    for leaf in leaves:
        verifier.take(leaf)
    return verifier.finish(parse_head(sign_head(identity.signing, head)))


def _note(verified: Verified) -> str:
    head = verified.position.head
    return head.note if head else ""


def _signup_body(account: AccountFile, verified: Verified) -> bytes:
    return encode_json(
        {
            "username": account.username,
            "account_card": account.card,
            "card_signature": account.card_signature,
            "keyslots": account.keyslots,
            "identity": {"generation": account.generation, "envelope": account.identity},
            "append": {"base": 0, "leaves": verified.leaves, "head": _note(verified)},
        }
    )


class TakenError(ConflictError):
    """That username is taken."""


def register_vault(prepared: Prepared, once: bytes) -> Flow[None]:
    """Tell the server of a prepared vault; with the same ``once`` it is told of it once.

    Raises:
        TakenError: the username is taken.
    """
    headers = {"Idempotency-Key": id_text(once)}
    response = yield Request("POST", "/accounts", prepared.body, headers=headers)
    try:
        answer = decode_json(succeed(response), _AccountAnswer)
    except ConflictError as taken:
        raise TakenError(str(taken), hint=_YOURS) from None
    if answer.account_id != id_text(prepared.place.account_id):
        message = "the server registered another account than ours"
        raise TrustError(message)


class _IdentityAnswer(msgspec.Struct, frozen=True):
    generation: Count
    envelope: str


class _MeAnswer(msgspec.Struct, frozen=True):
    username: str
    account_card: str
    card_signature: str
    keyslots: list[str]
    identity: _IdentityAnswer


class Entered(Unshown, msgspec.Struct, frozen=True):
    """What a new device knows after it logged in: keys, account, and the session."""

    place: Place
    account: AccountFile
    keys: Unlocked
    session: Session


def enter_with_passphrase(
    origin: str, username: str, passphrase: str, secret_key: SecretBytes, ambient: Ambient
) -> Flow[Entered]:
    """Log in on a device that has never seen the vault.

    Raises:
        CredentialsError: username, passphrase and Secret Key do not belong together.
        WeakKdfError: the server names parameters outside our limits; nothing was derived or sent.
        TrustError: what the server keeps for the account does not fit together.
    """
    check_username(username)
    asked = yield from challenge(username, "passphrase")
    place = Place(origin, asked.account_id)
    if asked.kdf is None:
        raise CredentialsError
    keys = yield from aside(
        partial(
            derive_passphrase_keys, passphrase, secret_key, place, asked.kdf, limits=ambient.limits
        )
    )
    login = Login(asked.slot_id, keys.kind, keys.login)
    session = yield from answer_challenge(place, username, asked, login, ambient)
    return (yield from _enter(place, username, session, keys))


def enter_with_recovery(
    origin: str, username: str, recovery_code: SecretBytes, ambient: Ambient
) -> Flow[Entered]:
    """Log in with the recovery code alone. Errors as for the passphrase.

    The server cannot tell a code of before a key change from a wrong one, and must not.
    """
    check_username(username)
    asked = yield from challenge(username, "recovery")
    place = Place(origin, asked.account_id)
    keys = derive_recovery_keys(recovery_code, place)
    login = Login(asked.slot_id, keys.kind, keys.login)
    try:
        session = yield from answer_challenge(place, username, asked, login, ambient)
    except CredentialsError:
        raise CredentialsError(hint=_NEWEST_KIT) from None
    return (yield from _enter(place, username, session, keys))


def _enter(place: Place, username: str, session: Session, keys: SlotKeys) -> Flow[Entered]:
    request = in_session(Request("GET", "/accounts/me"), session)
    answer = decode_json(succeed((yield from proved(request))), _MeAnswer)
    account = AccountFile(
        origin=place.origin,
        username=username,
        account_id=place.account_id,
        card=unb64(answer.account_card),
        card_signature=unb64(answer.card_signature),
        keyslots=tuple(unb64(slot) for slot in answer.keyslots),
        generation=answer.identity.generation,
        identity=unb64(answer.identity.envelope),
    )
    return Entered(place, account, open_account(place, account, keys), session)


def open_account(place: Place, account: AccountFile, keys: SlotKeys) -> Unlocked:
    """The keys of an account, from what is kept of it and one slot's keys. No network.

    Raises:
        CredentialsError: the slot keys open no keyslot of the account.
        TrustError: what is kept does not fit together.
    """
    return _unlocked(place, account, keys.login, lambda slot: open_keyslot(keys, place, slot))


def reopen_account(
    place: Place, account: AccountFile, login: SigningKey, account_key: SecretBytes
) -> Unlocked:
    """The keys of an account, from those that another process of the same person kept.

    Raises:
        CredentialsError: they are of another account, or were replaced since.
        TrustError: what is kept does not fit together.
    """
    return _unlocked(place, account, login, lambda _: account_key)


def _unlocked(
    place: Place,
    account: AccountFile,
    login: SigningKey,
    account_key: Callable[[Keyslot], SecretBytes],
) -> Unlocked:
    card = verify_account_card(Signed(account.card, account.card_signature))
    if (card.account_id, card.username) != (place.account_id, account.username):
        message = "the account card is of another account"
        raise TrustError(message)
    slot = _find_slot(account, lambda slot: slot.login_public == login.public)
    keyring = Keyring(place.account_id, account.generation, account_key(slot))
    if slot.generation != account.generation:
        message = "the keyslot and the identity are of different generations"
        raise TrustError(message)
    identity = open_identity(keyring, card, account.identity)
    return Unlocked(keyring, identity, Login(slot.slot_id, slot.kind, login))


def _find_slot(account: AccountFile, fits: Callable[[Keyslot], bool]) -> Keyslot:
    for raw in account.keyslots:
        slot = KEYSLOT.parse(raw)
        if fits(slot):
            return slot
    raise CredentialsError


def unlock_with_passphrase(
    account: AccountFile, passphrase: str, secret_key: SecretBytes, ambient: Ambient
) -> Unlocked:
    """Unlock what is on this device, without the server.

    Raises:
        CredentialsError: passphrase and Secret Key do not open this vault.
    """
    place = Place(account.origin, account.account_id)
    slot = _find_slot(account, lambda slot: slot.kdf is not None)
    if slot.kdf is None:
        raise CredentialsError
    keys = derive_passphrase_keys(passphrase, secret_key, place, slot.kdf, limits=ambient.limits)
    return open_account(place, account, keys)
