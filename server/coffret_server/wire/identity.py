"""Account cards, keyslots, identity envelopes and login statements (docs/spec/3-keys.md)."""

import re
from hashlib import sha256
from typing import Final
from uuid import UUID

import msgspec

from coffret_server.problems import refuse
from coffret_server.wire import pae

CARD: Final = pae.Layout("account", 5)
KEYSLOT: Final = pae.Layout("keyslot", 8)
_LOGIN_KEY: Final = 5
LOGIN: Final = pae.Layout("login", 5)
SUCCESSION: Final = pae.Layout("succession", 6)
DELETION: Final = pae.Layout("account-deletion", 6)
KEYS: Final = pae.Layout("identity-keys", 2)
SEALING_KEY_SIZE: Final = 1216
WRAP_SIZE: Final = 113
IDENTITY_SIZE: Final = 81 + 64
SALT_SIZE: Final = 16
KEYSLOTS_LIMIT: Final = 16
SLOT_KINDS: Final = ("passphrase", "recovery")
_USERNAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{2,63}")
_KDF_ITEMS: Final = 5
_ORIGIN_LIMIT: Final = 300


class Card(msgspec.Struct, frozen=True):
    """An owner's public identity."""

    account: UUID
    username: str
    signing_key: bytes
    sealing_key: bytes
    created: int


class Kdf(msgspec.Struct, frozen=True):
    """Parameters of Argon2id, as the device will judge them."""

    salt: bytes
    memory: int
    passes: int
    lanes: int


class Keyslot(msgspec.Struct, frozen=True):
    """One way to unwrap the account key; `kdf` is None for a recovery code."""

    account: UUID
    slot: UUID
    kind: str
    generation: int
    kdf: Kdf | None
    login_key: bytes
    created: int


def check_username(name: str) -> str:
    """A username in the published form."""
    if _USERNAME.fullmatch(name) is None:
        refuse("malformed", "a username is 3 to 64 of a-z 0-9 . _ -")
    return name


def parse_card(data: bytes) -> Card:
    """Read an account card."""
    account, username, signing_key, sealing_key, created = CARD.split(data)
    return Card(
        account=pae.read_id(account),
        username=check_username(pae.read_text(username, 64)),
        signing_key=pae.read_fixed(signing_key, pae.KEY_SIZE),
        sealing_key=pae.read_fixed(sealing_key, SEALING_KEY_SIZE),
        created=pae.read_time(created),
    )


def parse_keyslot(data: bytes) -> Keyslot:
    """Read a keyslot. The KDF's bounds are for the device to judge."""
    account, slot, kind, generation, kdf, login_key, created, wrap = KEYSLOT.split(data)
    name = pae.read_text(kind, 16)
    if name not in SLOT_KINDS:
        refuse("malformed", "a keyslot is of an unknown kind")
    _check_sealed(wrap, WRAP_SIZE)
    parsed = Keyslot(
        account=pae.read_id(account),
        slot=pae.read_id(slot),
        kind=name,
        generation=pae.read_time(generation),
        kdf=_parse_kdf(kdf),
        login_key=pae.read_fixed(login_key, pae.KEY_SIZE),
        created=pae.read_time(created),
    )
    if (parsed.kdf is None) != (name == "recovery") or parsed.generation < 1:
        refuse("malformed", "a keyslot's kind, KDF and generation do not fit")
    return parsed


def login_key_of(keyslot: bytes) -> bytes:
    """The login key of a keyslot that was read when it was stored.

    No more of it is read than that: a recovery code's, which has no KDF, would take less time than
    a passphrase's, or than what stands in for a keyslot that nobody has.
    """
    return pae.read_fixed(KEYSLOT.split(keyslot)[_LOGIN_KEY], pae.KEY_SIZE)


def _parse_kdf(data: bytes) -> Kdf | None:
    items = pae.read_list(data, _KDF_ITEMS)
    if not items:
        return None
    if len(items) != _KDF_ITEMS or items[0] != b"argon2id":
        refuse("malformed", "a KDF is not argon2id")
    return Kdf(
        salt=pae.read_fixed(items[1], SALT_SIZE),
        memory=pae.read_time(items[2]),
        passes=pae.read_time(items[3]),
        lanes=pae.read_time(items[4]),
    )


class Succession(msgspec.Struct, frozen=True):
    """A step from one card to the next, by their hashes."""

    account: UUID
    generation: int
    before: bytes
    after: bytes
    identity: bytes


def parse_succession(data: bytes) -> Succession:
    """Read a succession."""
    account, generation, before, after, envelope, created = SUCCESSION.split(data)
    pae.read_time(created)
    parsed = Succession(
        account=pae.read_id(account),
        generation=pae.read_time(generation),
        before=pae.read_fixed(before, pae.DIGEST_SIZE),
        after=pae.read_fixed(after, pae.DIGEST_SIZE),
        identity=pae.read_fixed(envelope, pae.DIGEST_SIZE),
    )
    if parsed.generation < 2 or parsed.before == parsed.after:  # noqa: PLR2004 - the first follows none
        refuse("malformed", "a succession begins with generation 2, and changes the card")
    return parsed


class Deletion(msgspec.Struct, frozen=True):
    """An owner's word that an account is to be deleted, at one server."""

    origin: str
    account: UUID
    slot: UUID
    nonce: bytes
    card: bytes


def parse_deletion(data: bytes) -> Deletion:
    """Read a deletion."""
    origin, account, slot, nonce, card, created = DELETION.split(data)
    pae.read_time(created)
    return Deletion(
        origin=pae.read_text(origin, _ORIGIN_LIMIT),
        account=pae.read_id(account),
        slot=pae.read_id(slot),
        nonce=pae.read_fixed(nonce, pae.KEY_SIZE),
        card=pae.read_fixed(card, pae.DIGEST_SIZE),
    )


def check_identity(envelope: bytes) -> None:
    """Refuse what is not the form of the sealed identity seeds."""
    _check_sealed(envelope, IDENTITY_SIZE)


def _check_sealed(envelope: bytes, size: int) -> None:
    if len(envelope) != size:
        refuse("malformed", f"an envelope is not {size} bytes")
    if envelope[:1] != pae.SUITE:
        refuse("unknown-suite", "an envelope is not of suite 01")


def keys_hash(signing_key: bytes, sealing_key: bytes) -> bytes:
    """The hash by which owners and apps name one another's keys."""
    return sha256(KEYS.build(signing_key, sealing_key)).digest()
