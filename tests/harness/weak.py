"""Constructions that are deliberately weak, for controls: what an attack does where we are not.

None of this is used by anything but tests. Each is what a real system had: a cipher without
authentication, a fallback to an older format, errors that tell, chunks without positions.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR
from cryptography.hazmat.primitives.padding import PKCS7

from coffret_vault.envelope import open_envelope, seal
from coffret_vault.primitives.secret import SecretBytes

BLOCK = 16
_NONCE = 12


def ctr(key: bytes, nonce: bytes, data: bytes) -> bytes:
    """AES-CTR, both ways: it opens whatever it is given."""
    encryptor = Cipher(AES256(key), CTR(nonce)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def seal_ctr(key: bytes, plaintext: bytes) -> bytes:
    """A random nonce, and AES-CTR without a tag."""
    nonce = os.urandom(BLOCK)
    return nonce + ctr(key, nonce, plaintext)


def open_ctr(key: bytes, sealed: bytes) -> bytes:
    """Undo :func:`seal_ctr`."""
    return ctr(key, sealed[:BLOCK], sealed[BLOCK:])


def seal_cbc(key: bytes, plaintext: bytes) -> bytes:
    """A random vector, and AES-CBC with PKCS #7 padding."""
    vector, padder = os.urandom(BLOCK), PKCS7(8 * BLOCK).padder()
    encryptor = Cipher(AES256(key), CBC(vector)).encryptor()
    padded = padder.update(plaintext) + padder.finalize()
    return vector + encryptor.update(padded) + encryptor.finalize()


def open_cbc(key: bytes, sealed: bytes) -> bytes:
    """Undo :func:`seal_cbc`.

    Raises:
        ValueError: the padding is wrong, which is what it tells.
    """
    decryptor = Cipher(AES256(key), CBC(sealed[:BLOCK])).decryptor()
    padded = decryptor.update(sealed[BLOCK:]) + decryptor.finalize()
    unpadder = PKCS7(8 * BLOCK).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def seal_gcm(key: bytes, plaintext: bytes) -> bytes:
    """AES-GCM with nothing bound to it: no header, no purpose, no commitment."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, None)


def open_gcm(key: bytes, sealed: bytes) -> bytes:
    """Undo :func:`seal_gcm`."""
    return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)


def open_with_fallback(key: bytes, header: bytes, sealed: bytes) -> bytes:
    """Open our envelope, or, where the first byte says so, an older format without a tag."""
    if sealed[0] == 0:
        return open_ctr(key, sealed[1:])
    return open_envelope("memory", SecretBytes(key), header, sealed)


def seal_with_choice(key: bytes, header: bytes, plaintext: bytes, *, old: bool) -> bytes:
    """Seal for :func:`open_with_fallback`, in the new format or the old one."""
    if old:
        return b"\0" + seal_ctr(key, plaintext)
    return seal("memory", SecretBytes(key), header, plaintext, random=os.urandom)


def seal_chunks(key: bytes, chunks: list[bytes]) -> list[bytes]:
    """Each chunk by itself, not knowing its place nor which is the last."""
    return [seal_gcm(key, chunk) for chunk in chunks]


def open_chunks(key: bytes, sealed: list[bytes]) -> list[bytes]:
    """What could be opened, up to the first chunk that could not."""
    opened: list[bytes] = []
    for chunk in sealed:
        try:
            opened.append(open_gcm(key, chunk))
        except InvalidTag:
            break
    return opened
