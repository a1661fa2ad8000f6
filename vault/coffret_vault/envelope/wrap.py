"""Wrap and unwrap keys: envelopes whose plaintext is a 32-byte key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.envelope.seal import OVERHEAD, open_envelope, seal
from coffret_vault.errors import OpenError
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import KEY

if TYPE_CHECKING:
    from coffret_vault.primitives.symmetric import Random

WRAPPED_KEY = KEY + OVERHEAD


def wrap_key(
    purpose: str, kek: SecretBytes, header: bytes, key: SecretBytes, *, random: Random
) -> bytes:
    """Wrap a 32-byte key; 113 bytes. Arguments as for :func:`seal`."""
    return seal(purpose, kek, header, key.reveal(), random=random)


def unwrap_key(purpose: str, kek: SecretBytes, header: bytes, wrap: bytes) -> SecretBytes:
    """Unwrap a key.

    Raises:
        OpenError: whatever the cause; the length is fixed before anything is derived.
    """
    if len(wrap) != WRAPPED_KEY:
        raise OpenError
    return SecretBytes(open_envelope(purpose, kek, header, wrap))
