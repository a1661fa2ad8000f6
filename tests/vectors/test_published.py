"""The primitives give what their standards published."""

import base64
import hashlib
import zlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from coffret_vault.errors import OpenError
from coffret_vault.primitives.identity import SigningKey, verify_signature
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.stream import open_stream, seal_stream
from coffret_vault.primitives.symmetric import aes_gcm_open, aes_gcm_seal, argon2id, hkdf
from harness.flipping import flipped
from vectors.published import published_json, published_records, published_text
from vectors.verifier import aes, curves, hpke
from vectors.verifier.refusal import Refused
from vectors.verifier.stream import open_stream as verified_stream

_hex = bytes.fromhex
GCM = [
    record
    for name in ("gcmDecrypt256", "gcmEncryptExtIV256")
    for record in published_records(f"ciphers/AES/GCM/{name}.rsp")
    if (record["ivlen"], record["taglen"]) == ("96", "128")
]
CHUNKED = [
    vector
    for vector in published_json("chunked-encryption/vectors.json")["vectors"]
    if vector["aead"] == "AEAD_AES_256_GCM"
]


def test_hkdf_of_rfc_5869() -> None:
    """HKDF-SHA256 gives the RFC's output, in both implementations."""
    records = list(published_records("KDF/rfc-5869-HKDF-SHA256.txt"))
    assert len(records) == 3
    for record in records:
        key, salt, info = (_hex(record[name]) for name in ("ikm", "salt", "info"))
        for derive in (hkdf, hpke.hkdf):
            assert derive(key, salt, info, int(record["l"])) == _hex(record["okm"])


def _gcm(record: dict[str, str]) -> tuple[bytes, ...]:
    names = ("key", "iv", "ct", "aad", "tag")
    key, nonce, text, aad, tag = (_hex(record[name]) for name in names)
    return key, nonce, text + tag, aad


def test_aes_gcm_of_nist() -> None:
    """AES-256-GCM opens what NIST sealed, seals the same bytes, and refuses what NIST broke."""
    refused = 0
    for record in GCM:
        key, nonce, sealed, aad = _gcm(record)
        if "fail" in record:
            refused += 1
            with pytest.raises(OpenError):
                aes_gcm_open(key, nonce, sealed, aad)
            continue
        plaintext = _hex(record["pt"])
        assert aes_gcm_open(key, nonce, sealed, aad) == plaintext
        assert aes_gcm_seal(key, nonce, plaintext, aad) == sealed
    assert len(GCM) > 700
    assert refused > 100


def test_the_verifiers_own_aes_gcm_of_nist() -> None:
    """So does the plain Python one, on every tenth vector."""
    for record in GCM[::10]:
        key, nonce, sealed, aad = _gcm(record)
        if "fail" in record:
            with pytest.raises(Refused, match="cannot-open"):
                aes.gcm_open(key, nonce, sealed, aad)
        else:
            assert aes.gcm_open(key, nonce, sealed, aad) == _hex(record["pt"])
            assert aes.gcm_seal(key, nonce, _hex(record["pt"]), aad) == sealed


def _ed25519() -> list[tuple[bytes, bytes, bytes, bytes]]:
    """Seed, public key, message and signature of each line."""
    out = []
    for line in published_text("asymmetric/Ed25519/sign.input").splitlines():
        private, public, message, signed = (_hex(part) for part in line.split(":")[:4])
        out.append((private[:32], public, message, signed[:64]))
    return out


def test_ed25519_of_its_authors() -> None:
    """Ed25519 makes the published keys and signatures, and verifies them."""
    vectors = _ed25519()[::4]
    assert len(vectors) == 256
    for seed, public, message, signature in vectors:
        key = SigningKey(SecretBytes(seed))
        assert (key.public, key.sign(message)) == (public, signature)
        verify_signature(public, message, signature)


def test_the_verifiers_own_ed25519() -> None:
    """So does the plain Python one, on a few."""
    for seed, public, message, signature in _ed25519()[1::256]:
        assert curves.ed25519_public(seed) == public
        assert curves.ed25519_sign(seed, message) == signature
        curves.ed25519_verify(public, message, signature)


def test_argon2id_of_rfc_9106() -> None:
    """Argon2id is that of RFC 9106.

    The RFC's vector has a secret and associated data, which our function has no arguments for: a
    library that has them gives the RFC's tag, and without them the same tags as ours.
    """
    records = list(published_records("KDF/argon2id.txt"))
    ours = 0
    for record in records[:3]:
        salt, passphrase = _hex(record["salt"]), _hex(record["pass"])
        lanes, passes, memory = (int(record[name]) for name in ("lanes", "iter", "memcost"))
        extra = {name: _hex(record[name]) if name in record else None for name in ("ad", "secret")}
        reference = Argon2id(
            salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory, **extra
        )
        assert reference.derive(passphrase) == _hex(record["output"])
        if "secret" not in record:
            ours += 1
            assert argon2id(passphrase, salt, memory, passes, lanes) == _hex(record["output"])
    assert (len(records) > 3, ours) == (True, 2)


@pytest.mark.parametrize("vector", CHUNKED, ids=lambda vector: vector["name"])
def test_the_verifiers_chunked_encryption_of_c2sp(vector: dict[str, Any]) -> None:
    """The verifier opens C2SP's streams (made with SHA-256), and refuses the damaged ones."""
    sealed = base64.b64decode(vector["ciphertext"] or "")
    if vector.get("compressed"):
        sealed = zlib.decompress(sealed)
    key, context = _hex(vector["key"]), vector["context"].encode()
    if vector["expect"] != "success":
        with pytest.raises((Refused, OpenError)):
            verified_stream(key, context, sealed, "sha256", aes_gcm_open)
        return
    opened = verified_stream(key, context, sealed, "sha256", aes_gcm_open)
    assert hashlib.sha256(opened).hexdigest() == vector["payload_sha256"]


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 40_000])
def test_our_streams_are_chunked_encryption_with_sha_512(size: int) -> None:
    """What the core seals is the same construction over SHA-512, whatever the chunks."""
    key, context, plaintext = bytes(range(32)), b"some context", b"x" * size
    sealed = seal_stream(SecretBytes(key), context, plaintext)
    assert verified_stream(key, context, sealed, "sha512", aes_gcm_open) == plaintext
    assert open_stream(SecretBytes(key), context, sealed) == plaintext


def test_our_streams_do_not_open_damaged() -> None:
    """A cut at any chunk, a swap of chunks, another context or key, or a changed bit: refused."""
    key, context, chunk = SecretBytes(bytes(32)), b"some context", (16 << 10) + 16
    sealed = seal_stream(key, context, b"abc" * 15_000)
    head, body = sealed[:56], sealed[56:]
    chunks = [body[i : i + chunk] for i in range(0, len(body), chunk)]
    assert len(chunks) == 3
    for order in ((), (0,), (0, 1), (1, 0, 2), (0, 2), (0, 0, 2), (0, 1, 2, 2)):
        with pytest.raises(OpenError):
            open_stream(key, context, head + b"".join(chunks[number] for number in order))
    for at in (0, 24, 56, 20_000, len(sealed) - 1):
        changed = flipped(sealed, at)
        with pytest.raises(OpenError):
            open_stream(key, context, changed)
    for other_key, other_context in ((SecretBytes(b"k" * 32), context), (key, b"")):
        with pytest.raises(OpenError):
            open_stream(other_key, other_context, sealed)
