"""HMAC-SHA256 (RFC 2104, FIPS 198-1)."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

MAC_BYTES = 32


def mac(key: bytes, message: bytes) -> bytes:
    """The 32-byte authenticator of a message under a key."""
    return hmac.digest(key, message, "sha256")


class Mac:
    """The same for many messages under one key, which is taken in once."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        """Take the key, once."""
        self._keyed = HMAC(key, SHA256())

    def __call__(self, message: bytes) -> bytes:
        """The 32-byte authenticator of a message."""
        keyed = self._keyed.copy()
        keyed.update(message)
        return keyed.finalize()
