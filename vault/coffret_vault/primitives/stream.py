"""Cobblestone-256 (C2SP chunked encryption) for index snapshots and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from coffret_vault.errors import OpenError

if TYPE_CHECKING:
    from coffret_vault.primitives.secret import SecretBytes


def seal_stream(key: SecretBytes, context: bytes, plaintext: bytes) -> bytes:
    """Seal a long byte string. ``context`` says what it belongs to and is not stored."""
    encryptor = Cobblestone256Encryptor(key.reveal(), context)
    return encryptor.update(plaintext) + encryptor.finalize()


def open_stream(key: SecretBytes, context: bytes, sealed: bytes) -> bytes:
    """Undo :func:`seal_stream`; nothing is given out before all of it verified.

    Raises:
        OpenError: whatever the cause.
    """
    try:
        decryptor = Cobblestone256Decryptor(key.reveal(), context)
        return decryptor.update(sealed) + decryptor.finalize()
    except (InvalidTag, ValueError):
        raise OpenError from None
