"""HKDF-SHA256 (RFC 5869), AES-256-GCM (NIST SP 800-38D) and Argon2id (RFC 9106)."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from coffret_vault.errors import OpenError
from coffret_vault.primitives.secret import SecretBytes

Random = Callable[[int], bytes]
"""Gives that many random bytes; ``os.urandom`` outside of tests."""

_SHA256 = SHA256()
KEY = 32


def hkdf(key: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA256, extract and expand. ``salt`` may be empty."""
    return HKDF(_SHA256, size, salt, info).derive(key)


def aes_gcm_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """AES-256-GCM; the 16-byte tag is at the end. The caller never repeats a key with a nonce."""
    return AESGCM(key).encrypt(nonce, plaintext, aad)


def aes_gcm_open(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """Undo :func:`aes_gcm_seal`.

    Raises:
        OpenError: whatever the cause.
    """
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, aad)
    except (InvalidTag, ValueError):
        raise OpenError from None


def same(left: bytes, right: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(left, right)


def argon2id(passphrase: bytes, salt: bytes, memory_kib: int, passes: int, lanes: int) -> bytes:
    """Argon2id version 1.3, 32 bytes. The caller has judged the parameters."""
    return hash_secret_raw(passphrase, salt, passes, memory_kib, lanes, KEY, Type.ID)


def generate_key(random: Random) -> SecretBytes:
    """32 random bytes."""
    return SecretBytes(random(KEY))
