"""Signing keys, weak keys, and keys that nothing may be sealed to."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from coffret_vault.errors import BadSignatureError, FormatError, OpenError, WeakKeyError
from coffret_vault.primitives.identity import (
    _SMALL_ORDER_Y,
    SealingKey,
    SigningKey,
    check_signing_public,
    seal_to,
    verify_signature,
)
from coffret_vault.primitives.secret import SecretBytes
from vectors.verifier import curves

SEED = SecretBytes(bytes(range(32)))
SIGN_BIT = 1 << 255
MOST = 2**255


def _small_order_points() -> set[curves.Point]:
    """The eight points whose eightfold is the identity, from a point of order eight."""
    candidates = (curves.decode_point(n.to_bytes(32, "little")) for n in range(2, 200))
    for point in candidates:
        if point is None:
            continue
        torsion = curves.multiply(curves.ORDER, point)
        if curves.multiply(4, torsion) != curves.IDENTITY:
            return {curves.multiply(n, torsion) for n in range(8)}
    raise AssertionError


def _encodings(point: curves.Point) -> set[bytes]:
    """Every 32 bytes that decode to the point's y: reduced or not, with either sign bit."""
    numbers = {y for y in (point[1], point[1] + curves.P) if y < MOST}
    return {(y | sign).to_bytes(32, "little") for y in numbers for sign in (0, SIGN_BIT)}


def test_the_list_of_weak_keys_is_that_of_the_mathematics() -> None:
    """The list holds the y of every point of small order, in every encoding, and nothing else."""
    points = _small_order_points()
    assert len(points) == 8
    assert all(curves.multiply(8, point) == curves.IDENTITY for point in points)
    every = {encoding for point in points for encoding in _encodings(point)}
    listed = {(y | sign).to_bytes(32, "little") for y in _SMALL_ORDER_Y for sign in (0, SIGN_BIT)}
    assert every == listed
    assert len(every) == 14


@pytest.mark.attack(41)
def test_every_weak_key_is_refused() -> None:
    """No encoding of a point of small order is taken, whatever the signature."""
    for point in _small_order_points():
        for public in _encodings(point):
            with pytest.raises(WeakKeyError):
                check_signing_public(public)
            for signature in (bytes(64), curves.encode_point(point) + bytes(32)):
                with pytest.raises(WeakKeyError):
                    verify_signature(public, b"any message", signature)


@pytest.mark.control(41)
def test_the_check_is_needed() -> None:
    """The control: OpenSSL verifies one signature for any message under such a key."""
    identity = curves.encode_point(curves.IDENTITY)
    for message in (b"one", b"another"):
        Ed25519PublicKey.from_public_bytes(identity).verify(identity + bytes(32), message)
        with pytest.raises(WeakKeyError):
            verify_signature(identity, message, identity + bytes(32))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    """A public key has 32 bytes."""
    with pytest.raises(WeakKeyError):
        check_signing_public(b"\5" * size)


def test_honest_keys_are_taken() -> None:
    """The keys of ordinary seeds pass the check."""
    for number in range(20):
        key = SigningKey(SecretBytes(bytes([number]) * 32))
        assert check_signing_public(key.public) == key.public
        verify_signature(key.public, b"message", key.sign(b"message"))


def test_every_bit_of_a_signature_counts() -> None:
    """A signature with one bit changed does not verify, nor over another message."""
    key = SigningKey(SEED)
    signature = key.sign(b"message")
    for bit in range(512):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignatureError):
            verify_signature(key.public, b"message", bytes(changed))
    for message, altered in ((b"message!", signature), (b"message", signature[:63])):
        with pytest.raises(BadSignatureError):
            verify_signature(key.public, message, altered)


def test_a_key_that_is_no_point_verifies_nothing() -> None:
    """Bytes that name no point of the curve are an ordinary failure."""
    public = next(
        data
        for data in (n.to_bytes(32, "little") for n in range(2, 50))
        if curves.decode_point(data) is None
    )
    with pytest.raises(BadSignatureError):
        verify_signature(public, b"message", bytes(64))


@pytest.mark.attack(42)
def test_sealing_refuses_what_is_no_key() -> None:
    """A public key of another length, not reduced, or with a weak X25519 part is malformed."""
    public = SealingKey(SEED).public
    low_order = (0, 1, curves.P - 1, curves.P, curves.P + 1)
    bad = [public[:-1], public + b"\0", b"", b"\xff" * 1184 + public[1184:]]
    bad += [public[:1184] + u.to_bytes(32, "little") for u in low_order]
    for key in bad:
        with pytest.raises(FormatError):
            seal_to(key, SecretBytes(bytes(32)), b"info")


@pytest.mark.attack(63)
@pytest.mark.attack(23)
def test_half_of_a_key_swapped_opens_nothing() -> None:
    """Sealed to a key of which either half is another's, it does not open for the first."""
    mine, other = SealingKey(SEED), SealingKey(SecretBytes(bytes(32)))
    halves = (mine.public[:1184] + other.public[1184:], other.public[:1184] + mine.public[1184:])
    for public in halves:
        sealed = seal_to(public, SecretBytes(b"k" * 32), b"info")
        for key in (mine, other):
            with pytest.raises(OpenError):
                key.open(sealed, b"info")


def test_every_sealing_is_new() -> None:
    """Sealed twice, the same secret gives two texts of the published length."""
    public = SealingKey(SEED).public
    first, second = (seal_to(public, SecretBytes(bytes(32)), b"info") for _ in range(2))
    assert first != second
    assert len(first) == len(second) == 1168


def test_keys_show_only_their_public_part() -> None:
    """What is printed of a key is the beginning of its public key."""
    signing, sealing = SigningKey(SEED), SealingKey(SEED)
    assert repr(signing) == f"<SigningKey {signing.public.hex()[:8]}>"
    assert repr(sealing) == f"<SealingKey {sealing.public.hex()[:8]}>"
