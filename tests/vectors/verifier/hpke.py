"""HKDF (RFC 5869), X-Wing (draft-connolly-cfrg-xwing-kem) and HPKE base mode (RFC 9180)."""

from __future__ import annotations

import hashlib
import hmac

from vectors.verifier import mlkem
from vectors.verifier.aes import gcm_open, gcm_seal
from vectors.verifier.curves import X25519_BASE, x25519
from vectors.verifier.refusal import CANNOT_OPEN, require

_LABEL = bytes.fromhex("5c2e2f2f5e5c")
_ENC = 1120
_MLKEM_CIPHERTEXT = 1088
_MLKEM_PUBLIC = 1184
HKDF_SHA256, AES_256_GCM = 1, 2


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def expand(key: bytes, info: bytes, size: int) -> bytes:
    """HKDF-Expand."""
    out, block, counter = b"", b"", 1
    while len(out) < size:
        block = _mac(key, block + info + bytes([counter]))
        out, counter = out + block, counter + 1
    return out[:size]


def hkdf(key: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA256."""
    return expand(_mac(salt or bytes(32), key), info, size)


def _combine(pq: bytes, curve: bytes, curve_ct: bytes, curve_public: bytes) -> bytes:
    return hashlib.sha3_256(pq + curve + curve_ct + curve_public + _LABEL).digest()


def _expand_seed(seed: bytes) -> tuple[bytes, bytes]:
    expanded = hashlib.shake_256(seed).digest(96)
    return expanded[:64], expanded[64:]


def xwing_public(seed: bytes) -> bytes:
    """The 1,216-byte public key."""
    pq, curve = _expand_seed(seed)
    return mlkem.key_pair(pq)[0] + x25519(curve, X25519_BASE)


def xwing_encapsulate(public: bytes, randomness: bytes) -> tuple[bytes, bytes]:
    """The shared secret and the ciphertext for 64 bytes of randomness."""
    pq_public, curve_public = public[:_MLKEM_PUBLIC], public[_MLKEM_PUBLIC:]
    pq, pq_ct = mlkem.encapsulate(pq_public, randomness[:32])
    curve_ct = x25519(randomness[32:], X25519_BASE)
    shared = _combine(pq, x25519(randomness[32:], curve_public), curve_ct, curve_public)
    return shared, pq_ct + curve_ct


def xwing_decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """The shared secret."""
    pq_seed, curve = _expand_seed(seed)
    curve_ct = ciphertext[_MLKEM_CIPHERTEXT:]
    shared_curve = x25519(curve, curve_ct)
    require(any(shared_curve), CANNOT_OPEN)
    pq = mlkem.decapsulate(pq_seed, ciphertext[:_MLKEM_CIPHERTEXT])
    return _combine(pq, shared_curve, curve_ct, x25519(curve, X25519_BASE))


def suite_id(aead: int) -> bytes:
    """``"HPKE"``, the X-Wing KEM, HKDF-SHA256, and that AEAD."""
    return b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (0x647A, HKDF_SHA256, aead))


def key_schedule(shared: bytes, info: bytes, aead: int) -> tuple[bytes, bytes, bytes]:
    """Key (32 bytes), base nonce and exporter secret of base mode with HKDF-SHA256."""
    suite = suite_id(aead)

    def extract(salt: bytes, label: bytes, key: bytes) -> bytes:
        return _mac(salt or bytes(32), b"HPKE-v1" + suite + label + key)

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")

    def derive(label: bytes, size: int) -> bytes:
        labelled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return expand(secret, labelled, size)

    return derive(b"key", 32), derive(b"base_nonce", 12), derive(b"exp", 32)


def hpke_seal(public: bytes, randomness: bytes, plaintext: bytes, info: bytes) -> bytes:
    """``enc ‖ ciphertext`` for 64 bytes of randomness; the library has no way to say these."""
    shared, enc = xwing_encapsulate(public, randomness)
    key, nonce, _ = key_schedule(shared, info, AES_256_GCM)
    return enc + gcm_seal(key, nonce, plaintext, b"")


def hpke_open(seed: bytes, sealed: bytes, info: bytes) -> bytes:
    """The plaintext, or ``cannot-open``."""
    require(len(sealed) >= _ENC + 16, CANNOT_OPEN)
    shared = xwing_decapsulate(seed, sealed[:_ENC])
    key, nonce, _ = key_schedule(shared, info, AES_256_GCM)
    return gcm_open(key, nonce, sealed[_ENC:], b"")
