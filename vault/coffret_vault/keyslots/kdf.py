"""Limits on passphrase derivation, held in code whatever a server says. docs/spec/3-keys.md."""

from __future__ import annotations

import unicodedata

import msgspec

from coffret_vault.errors import InputError, WeakKdfError
from coffret_vault.formats.account import Kdf
from coffret_vault.primitives.symmetric import argon2id


class KdfLimits(msgspec.Struct, frozen=True):
    """The parameters a device accepts, and the ones it chooses. Memory in KiB."""

    least_memory: int
    most_memory: int
    least_passes: int
    most_passes: int
    most_lanes: int
    memory: int
    passes: int
    lanes: int

    def choose(self, salt: bytes) -> Kdf:
        """The parameters for a new keyslot."""
        return Kdf(salt, self.memory, self.passes, self.lanes)

    def check(self, kdf: Kdf) -> Kdf:
        """The parameters, if they are within the limits.

        Raises:
            WeakKdfError: too weak to protect a passphrase, or so heavy that it would hurt us.
        """
        if not (
            self.least_memory <= kdf.memory_kib <= self.most_memory
            and self.least_passes <= kdf.passes <= self.most_passes
            and 1 <= kdf.lanes <= self.most_lanes
        ):
            raise WeakKdfError
        return kdf


PUBLISHED = KdfLimits(65_536, 1_048_576, 3, 10, 4, memory=65_536, passes=3, lanes=4)
"""64 MiB, three passes, four lanes (RFC 9106, section 4, second recommended set) and above."""

CHEAPEST_FOR_TESTS = KdfLimits(64, 1_048_576, 1, 10, 4, memory=64, passes=1, lanes=1)
"""Protects nothing. For tests that make vaults by the hundred; no program chooses it."""


def check_passphrase(passphrase: str) -> None:
    """Judge a passphrase that is being chosen. How good it is, its owner alone can say.

    Raises:
        InputError: it is no text, or blank.
    """
    _check_text(passphrase)
    if not passphrase.strip():
        message = "the passphrase is empty"
        raise InputError(message)


def _check_text(passphrase: object) -> None:
    if not isinstance(passphrase, str):
        message = "the passphrase is no text"
        raise InputError(message)


def stretch(passphrase: str, kdf: Kdf, limits: KdfLimits) -> bytes:
    """Argon2id over the passphrase in NFC.

    Raises:
        InputError: the passphrase is no text.
        WeakKdfError: the parameters are outside the limits; nothing was derived.
    """
    _check_text(passphrase)
    limits.check(kdf)
    secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    return argon2id(secret, kdf.salt, kdf.memory_kib, kdf.passes, kdf.lanes)
