"""Ed25519 (RFC 8032) and HPKE (RFC 9180) with X-Wing, MLKEM768-X25519."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from coffret_vault.errors import BadSignatureError, FormatError, OpenError, WeakKeyError
from coffret_vault.primitives.secret import SecretBytes

KEY_SIZE = 32
_SIGNATURE_SIZE = 64
_MLKEM_PUBLIC = 1184
_MLKEM_SEED = 64
_XWING_PUBLIC = 1216
_XWING_EXPANDED = 96
_P = 2**255 - 19
# y-coordinates of the points of order 1, 2, 4 and 8 on edwards25519, and their encodings that are
# not reduced modulo p. With such a "key" one signature verifies for any message where they are let
# through. Cremers and Jackson, "Prime, Order Please!", IEEE CSF 2019; libsodium has the same list,
# and fails to verify with them: here they are an error of their own.
_ORDER8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y = frozenset((0, 1, _P - 1, _P, _P + 1, _ORDER8, _P - _ORDER8))
_SIGN_BIT = 1 << 255


class SigningKey:
    """An Ed25519 private key, made from its 32-byte seed."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: SecretBytes) -> None:
        """Expand ``seed``; ``public`` is the 32-byte public key."""
        self.public, secret = crypto_sign_seed_keypair(seed.reveal())
        self._secret = SecretBytes(secret)

    def __repr__(self) -> str:
        return f"<SigningKey {self.public.hex()[:8]}>"

    def sign(self, message: bytes) -> bytes:
        """64 bytes over ``message``. Statements go through ``envelope.signature``."""
        return crypto_sign(message, self._secret.reveal())[:_SIGNATURE_SIZE]

    def seed(self) -> SecretBytes:
        """The seed, for a process of the same person that keeps a vault unlocked; nothing else."""
        return SecretBytes(self._secret.reveal()[:KEY_SIZE])


def check_signing_public(public: bytes) -> bytes:
    """Refuse a public key of small order.

    Raises:
        WeakKeyError: the key is one of them, or has not 32 bytes.
    """
    number = int.from_bytes(public, "little")
    if len(public) != KEY_SIZE or number & ~_SIGN_BIT in _SMALL_ORDER_Y:
        raise WeakKeyError
    return public


def verify_signature(public: bytes, message: bytes, signature: bytes) -> None:
    """Verify 64 bytes of Ed25519 over ``message``, without cofactor (RFC 8032, section 5.1.7).

    Raises:
        BadSignatureError: it does not verify.
        WeakKeyError: the key is unfit.
    """
    check_signing_public(public)
    if len(signature) != _SIGNATURE_SIZE:  # joined below: a shorter one must not borrow
        raise BadSignatureError
    try:
        crypto_sign_open(signature + message, public)
    except CryptoError:
        raise BadSignatureError from None


class SealingKey:
    """An X-Wing private key, made from its 32-byte seed as draft-connolly-cfrg-xwing-kem says."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: SecretBytes) -> None:
        """Expand ``seed``; ``public`` is the 1,216-byte public key."""
        expanded = hashlib.shake_256(seed.reveal()).digest(_XWING_EXPANDED)
        kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED])
        curve = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED:])
        self._key = MLKEM768X25519PrivateKey(kem, curve)
        self.public = kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"<SealingKey {self.public.hex()[:8]}>"

    def open(self, sealed: bytes, info: bytes) -> SecretBytes:
        """HPKE open, base mode, single shot.

        Raises:
            OpenError: whatever the cause.
        """
        try:
            return SecretBytes(_hpke().decrypt(sealed, self._key, info))
        except (InvalidTag, ValueError):
            raise OpenError from None


def seal_to(public: bytes, plaintext: SecretBytes, info: bytes) -> bytes:
    """HPKE seal, base mode, single shot, to an X-Wing public key.

    Raises:
        FormatError: the public key is not one; its ML-KEM part is checked as FIPS 203 wants.
    """
    if len(public) != _XWING_PUBLIC:
        message = "an X-Wing public key has 1,216 bytes"
        raise FormatError(message)
    try:
        key = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC]),
            X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:]),
        )
        return _hpke().encrypt(plaintext.reveal(), key, info)
    except (ValueError, UnsupportedAlgorithm):
        message = "an X-Wing public key is not valid"
        raise FormatError(message) from None


def _hpke() -> Suite:
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
