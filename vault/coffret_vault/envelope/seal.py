"""Seal and open: a committing AEAD from HKDF-SHA256 and AES-256-GCM. docs/spec/2-envelope.md.

The commitment C comes from the same HKDF output as key and nonce, so an envelope opens under one
key and one header only (no "invisible salamanders": Dodis et al., CRYPTO 2018; Albertini et al.,
USENIX Security 2022). A fresh 256-bit salt an envelope makes key and nonce new each time, even for
a device restored from a snapshot that would repeat a counter.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

from coffret_vault.errors import OpenError
from coffret_vault.formats.pae import SUITE, pae
from coffret_vault.primitives.symmetric import aes_gcm_open, aes_gcm_seal, hkdf, same

if TYPE_CHECKING:
    from coffret_vault.primitives.secret import SecretBytes
    from coffret_vault.primitives.symmetric import Random

_SALT = 32
_HASH = 32
_NONCE_AT = 32
_COMMIT_AT = 44
_DERIVED = 76
_CIPHERTEXT_AT = 1 + _SALT + 32
_SUITE = bytes([SUITE])
OVERHEAD = _CIPHERTEXT_AT + 16
"""How much longer an envelope is than its plaintext: 81 bytes."""


@cache
def _info_prefix(purpose: str) -> bytes:
    """``PAE("envelope/" ‖ purpose, hash)`` up to the hash, the same for all of a purpose."""
    return pae(f"envelope/{purpose}", bytes(_HASH))[:-_HASH]


def _derive(purpose: str, key: SecretBytes, salt: bytes, header: bytes) -> bytes:
    info = _info_prefix(purpose) + hashlib.sha256(header).digest()
    return hkdf(key.reveal(), salt, info, _DERIVED)


def seal(
    purpose: str, key: SecretBytes, header: bytes, plaintext: bytes, *, random: Random
) -> bytes:
    """Seal ``plaintext`` so that it opens only with this purpose, key and header.

    Args:
        purpose: the kind of content; part of the key derivation.
        key: 32 bytes; may seal any number of envelopes.
        header: what stays in the clear and is authenticated.
        plaintext: what is sealed, padded by the caller where its size would tell something.
        random: where the salt comes from.
    """
    salt = random(_SALT)
    derived = _derive(purpose, key, salt, header)
    ciphertext = aes_gcm_seal(derived[:_NONCE_AT], derived[_NONCE_AT:_COMMIT_AT], plaintext, header)
    return b"".join((_SUITE, salt, derived[_COMMIT_AT:], ciphertext))


def open_envelope(purpose: str, key: SecretBytes, header: bytes, envelope: bytes) -> bytes:
    """Open an envelope.

    Raises:
        OpenError: whatever the cause: another key, purpose or header, a changed or cut blob,
            another suite. Nothing tells which.
    """
    if len(envelope) < OVERHEAD or envelope[0] != SUITE:
        raise OpenError
    derived = _derive(purpose, key, envelope[1 : 1 + _SALT], header)
    # The commitment first: without it a blob made for many keys would test many at once
    # (Len, Grubbs, Ristenpart: "Partitioning Oracle Attacks", USENIX Security 2021).
    if not same(derived[_COMMIT_AT:], envelope[1 + _SALT : _CIPHERTEXT_AT]):
        raise OpenError
    return aes_gcm_open(
        derived[:_NONCE_AT], derived[_NONCE_AT:_COMMIT_AT], envelope[_CIPHERTEXT_AT:], header
    )
