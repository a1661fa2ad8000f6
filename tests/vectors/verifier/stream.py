"""C2SP chunked encryption with AES-256-GCM, for HKDF-Expand over any hash.

Cobblestone-256 is this with SHA-512; the vectors that were published for it are with SHA-256.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from vectors.verifier.refusal import CANNOT_OPEN, require

if TYPE_CHECKING:
    from collections.abc import Callable

    Open = Callable[[bytes, bytes, bytes, bytes], bytes]
    Seal = Open

_LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"
_CHUNK = (16 << 10) + 16
_SALT, _HEAD = 24, 56


def _expand(key: bytes, info: bytes, size: int, digest: str) -> bytes:
    out, block, counter = b"", b"", 1
    while len(out) < size:
        block = hmac.new(key, block + info + bytes([counter]), digest).digest()
        out, counter = out + block, counter + 1
    return out[:size]


def seal_stream(
    key: bytes, context: bytes, plaintext: bytes, salt: bytes, digest: str, gcm_seal: Seal
) -> bytes:
    """A stream with this salt; behind a chunk that is full stands another, which may be empty."""
    derived = _expand(key, _LABEL + salt + context, 76, digest)
    base, whole = int.from_bytes(derived[32:44], "big"), _CHUNK - 16
    out = [salt, derived[44:]]
    for number in range(len(plaintext) // whole + 1):
        nonce = (base ^ number).to_bytes(12, "big")
        chunk = plaintext[number * whole : (number + 1) * whole]
        out.append(gcm_seal(derived[:32], nonce, chunk, b""))
    return b"".join(out)


def open_stream(key: bytes, context: bytes, sealed: bytes, digest: str, gcm_open: Open) -> bytes:
    """The plaintext, or ``cannot-open``; ``gcm_open`` takes key, nonce, ciphertext and AAD."""
    require(len(key) == 32 and len(sealed) >= _HEAD, CANNOT_OPEN)
    salt, commitment, body = sealed[:_SALT], sealed[_SALT:_HEAD], sealed[_HEAD:]
    derived = _expand(key, _LABEL + salt + context, 76, digest)
    require(hmac.compare_digest(derived[44:], commitment), CANNOT_OPEN)
    base = int.from_bytes(derived[32:44], "big")
    out = []
    for number in range(len(body) // _CHUNK + 1):
        nonce = (base ^ number).to_bytes(12, "big")
        chunk = body[number * _CHUNK : (number + 1) * _CHUNK]
        require(len(chunk) >= 16, CANNOT_OPEN)
        out.append(gcm_open(derived[:32], nonce, chunk, b""))
    return b"".join(out)
