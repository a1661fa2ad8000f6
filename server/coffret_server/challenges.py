"""Login challenges: nonces that need no storing, and answers for users who do not exist.

A nonce is `expiry (8) ‖ random (8) ‖ MAC (16)` under a key of the server, over the account and
slot as well. That it works once is a row written at login. A user who does not exist has an account
id, a slot id and a salt derived from their name with the same key: the same each time, like a real
one. Their ids are random, as are those of real ones: a time in an id would tell the made-up ones.
"""

import hmac
import secrets
from hashlib import sha256
from typing import Final
from uuid import UUID

import msgspec

from coffret_server.wire import pae
from coffret_server.wire.identity import KEYSLOT, SALT_SIZE, WRAP_SIZE, Kdf

LIFETIME: Final = 120_000_000
_MAC_SIZE: Final = 16
_NONCE_SIZE: Final = 32
_DEFAULT_KDF: Final = (65_536, 3, 4)
_NOBODY: Final = bytes([9]) + bytes(31)
"""A valid public key that nobody holds the other half of."""


class Challenge(msgspec.Struct, frozen=True):
    """What a device needs in order to log in."""

    account: UUID
    slot: UUID
    kdf: Kdf | None


def _mac(key: bytes, *parts: bytes) -> bytes:
    text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(key, text, "sha256")


def new_nonce(key: bytes, challenge: Challenge, now: int) -> tuple[bytes, int]:
    """A nonce and when it expires."""
    expires = now + LIFETIME
    body = expires.to_bytes(8, "big") + secrets.token_bytes(8)
    mac = _mac(key, b"nonce", challenge.account.bytes, challenge.slot.bytes, body)
    return body + mac[:_MAC_SIZE], expires


def nonce_expiry(key: bytes, account: bytes, slot: bytes, nonce: bytes, now: int) -> int | None:
    """When a nonce of ours expires, or None if it is not ours, or has."""
    if len(nonce) != _NONCE_SIZE:
        return None
    body, mac = nonce[:-_MAC_SIZE], nonce[-_MAC_SIZE:]
    expected = _mac(key, b"nonce", account, slot, body)[:_MAC_SIZE]
    expires = int.from_bytes(body[:8], "big")
    return expires if hmac.compare_digest(mac, expected) and expires > now else None


def fake_slot(key: bytes, username: str, kind: str) -> tuple[bytes, bytes]:
    """The account id, and the keyslot's bytes, of a user or of a slot that does not exist.

    Bytes, so that what is done with the keyslot of a real user is done with it as well: the time
    that an answer takes must not tell the two apart.
    """
    name = username.encode()
    account = _random_id(_mac(key, b"fake-account", name))
    slot = _random_id(_mac(key, b"fake-slot", name, kind.encode()))
    salt = _mac(key, b"fake-salt", name)[:SALT_SIZE]
    return account.bytes, stand_in(account, slot, kind, salt)


def stand_in(account: UUID, slot: UUID, kind: str, salt: bytes) -> bytes:
    """A keyslot for which nobody has a key."""
    kdf: list[bytes] = []
    if kind == "passphrase":
        kdf = [b"argon2id", salt, *map(pae.u64, _DEFAULT_KDF)]
    packed = pae.u64(len(kdf)) + b"".join(pae.u64(len(item)) + item for item in kdf)
    fields = (account.bytes, slot.bytes, kind.encode(), pae.u64(1), packed, _NOBODY)
    return KEYSLOT.build(*fields, pae.u64(0), pae.SUITE + bytes(WRAP_SIZE - 1))


def _random_id(seed: bytes) -> UUID:
    """A UUIDv4, as a device makes one for an account or a keyslot."""
    return UUID(bytes=sha256(seed).digest()[:16], version=4)
