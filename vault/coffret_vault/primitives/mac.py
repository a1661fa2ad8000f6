"""HMAC-SHA256 (RFC 2104, FIPS 198-1)."""

from __future__ import annotations

import hmac

MAC_BYTES = 32


def mac(key: bytes, message: bytes) -> bytes:
    """The 32-byte authenticator of a message under a key."""
    return hmac.digest(key, message, "sha256")
