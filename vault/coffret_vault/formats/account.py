"""Accounts, keyslots and logins on the wire. docs/spec/3-keys.md."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit

import msgspec

from coffret_vault.errors import FormatError, InputError
from coffret_vault.formats.layout import (
    ID,
    KEY32,
    TIME,
    U64,
    Codec,
    Layout,
    fixed,
    read_text,
    read_u64,
    text,
    write_text,
)
from coffret_vault.formats.pae import pack_list, pae, read_list, u64

XWING_PUBLIC = fixed(1216)
WRAPPED_KEY = fixed(113)
MAX_USERNAME = 64
MAX_ORIGIN = 300
PASSPHRASE = "passphrase"  # noqa: S105 - the name of a kind of keyslot
RECOVERY = "recovery"
_KDF_ALGORITHM = "argon2id"
_KDF_PARTS = 5
_SALT = 16
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{2,63}")
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")  # a name in ASCII (IDNs as xn--), or IPv6
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Kdf(msgspec.Struct, frozen=True):
    """Argon2id parameters: salt (16 bytes), memory in KiB, passes, lanes. Not yet judged."""

    salt: bytes
    memory_kib: int
    passes: int
    lanes: int


def write_kdf(kdf: Kdf | None) -> bytes:
    """The ``kdf`` field; the empty list where there is no passphrase."""
    if kdf is None:
        return pack_list(())
    numbers = (u64(kdf.memory_kib), u64(kdf.passes), u64(kdf.lanes))
    return pack_list((_KDF_ALGORITHM.encode(), kdf.salt, *numbers))


def _read_kdf(data: bytes) -> Kdf | None:
    parts = read_list(data, most=_KDF_PARTS)
    if not parts:
        return None
    if len(parts) != _KDF_PARTS or read_text(parts[0]) != _KDF_ALGORITHM or len(parts[1]) != _SALT:
        message = "passphrase parameters are not those of Argon2id"
        raise FormatError(message)
    return Kdf(parts[1], *(read_u64(part) for part in parts[2:]))


KDF: Codec[Kdf | None] = Codec(write_kdf, _read_kdf)


class Keyslot(msgspec.Struct, frozen=True):
    """One way to unwrap the account key."""

    account_id: bytes
    slot_id: bytes
    kind: str
    generation: int
    kdf: Kdf | None
    login_public: bytes
    created: int
    wrap: bytes


def _check_keyslot(slot: Keyslot) -> None:
    if slot.generation < 1:
        message = "generations of the account key count from 1"
        raise FormatError(message)
    if slot.kind not in {PASSPHRASE, RECOVERY} or (slot.kdf is None) != (slot.kind == RECOVERY):
        message = "a keyslot is of no known kind, or has the wrong parameters for it"
        raise FormatError(message)


KEYSLOT: Layout[Keyslot] = Layout(
    "keyslot",
    Keyslot,
    (
        ("account_id", ID),
        ("slot_id", ID),
        ("kind", text(32)),
        ("generation", U64),
        ("kdf", KDF),
        ("login_public", KEY32),
        ("created", TIME),
        ("wrap", WRAPPED_KEY),
    ),
    _check_keyslot,
)


def account_key_wrap_header(slot: Keyslot, origin: str) -> bytes:
    """The header under which a keyslot wraps the account key; its ``wrap`` is not read."""
    return pae(
        "account-key-wrap",
        write_text(origin),
        slot.account_id,
        slot.slot_id,
        write_text(slot.kind),
        u64(slot.generation),
        write_kdf(slot.kdf),
        slot.login_public,
    )


class AccountCard(msgspec.Struct, frozen=True):
    """The owner's public keys under a username, self-signed."""

    account_id: bytes
    username: str
    signing_public: bytes
    sealing_public: bytes
    created: int


def check_username(username: str) -> str:
    """The username, if it is one.

    Raises:
        InputError: it is not 3 to 64 of ``a-z 0-9 . _ -`` with a letter or digit first.
    """
    given: object = username
    if not (isinstance(given, str) and _USERNAME.fullmatch(given)):
        message = "a username is 3 to 64 of a-z 0-9 . _ - and begins with a letter or digit"
        raise InputError(message)
    return username


def _check_card(card: AccountCard) -> None:
    if not _USERNAME.fullmatch(card.username):
        message = "an account card names no possible username"
        raise FormatError(message)


ACCOUNT_CARD: Layout[AccountCard] = Layout(
    "account",
    AccountCard,
    (
        ("account_id", ID),
        ("username", text(MAX_USERNAME)),
        ("signing_public", KEY32),
        ("sealing_public", XWING_PUBLIC),
        ("created", TIME),
    ),
    _check_card,
)


def keys_hash(signing_public: bytes, sealing_public: bytes) -> bytes:
    """The hash that stands for an identity's pair of keys, an owner's or an app's."""
    return hashlib.sha256(pae("identity-keys", signing_public, sealing_public)).digest()


def identity_seeds_header(
    account_id: bytes, generation: int, signing_public: bytes, sealing_public: bytes
) -> bytes:
    """The header under which the identity's seeds are sealed."""
    return pae("identity-seeds", account_id, u64(generation), signing_public, sealing_public)


class Login(msgspec.Struct, frozen=True):
    """What a device signs to log in."""

    origin: str
    account_id: bytes
    slot_id: bytes
    nonce: bytes
    session_public: bytes


LOGIN: Layout[Login] = Layout(
    "login",
    Login,
    (
        ("origin", text(MAX_ORIGIN)),
        ("account_id", ID),
        ("slot_id", ID),
        ("nonce", KEY32),
        ("session_public", KEY32),
    ),
)


def normal_origin(url: str) -> str:
    """The origin of a server's address, as it goes into keys and statements.

    Raises:
        InputError: no http(s) address, or one with a user, path, query or fragment.
    """
    given: object = url
    try:
        parts = urlsplit(given.strip() if isinstance(given, str) else "")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    extra = parts.username or parts.password or parts.query or parts.fragment
    known = parts.scheme in _DEFAULT_PORTS and _HOST.fullmatch(parts.hostname or "")
    if not known or extra or parts.path.strip("/"):
        message = "a server's address looks like https://host or https://host:port"
        raise InputError(message)
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    suffix = "" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{host}{suffix}"
