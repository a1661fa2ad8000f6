"""Symmetric primitives at their edges; their values are in tests/vectors."""

import pytest

from coffret_vault.errors import OpenError
from coffret_vault.primitives.symmetric import aes_gcm_open, aes_gcm_seal, generate_key, hkdf, same

KEY, NONCE = b"k" * 32, b"n" * 12


@pytest.mark.parametrize("size", [0, 1, 15])
def test_less_than_a_tag_does_not_open(size: int) -> None:
    """Bytes shorter than a tag are refused like any other that do not open."""
    with pytest.raises(OpenError):
        aes_gcm_open(KEY, NONCE, bytes(size), b"")


def test_aad_is_authenticated() -> None:
    """The associated data has to be the same."""
    sealed = aes_gcm_seal(KEY, NONCE, b"text", b"aad")
    assert aes_gcm_open(KEY, NONCE, sealed, b"aad") == b"text"
    with pytest.raises(OpenError):
        aes_gcm_open(KEY, NONCE, sealed, b"aae")


def test_an_empty_salt_is_a_salt_of_zeros() -> None:
    """RFC 5869, section 2.2: without a salt, 32 zero bytes."""
    assert hkdf(KEY, b"", b"info", 32) == hkdf(KEY, bytes(32), b"info", 32)


def test_comparison_is_by_value() -> None:
    """Equal bytes are the same, others are not, also of other lengths."""
    assert same(b"abc", b"ab" + b"c")
    assert not same(b"abc", b"abd")
    assert not same(b"abc", b"abcd")


def test_a_key_comes_from_the_randomness_given() -> None:
    """Randomness is an argument: a key is the 32 bytes that were drawn."""
    drawn: list[int] = []

    def random(size: int) -> bytes:
        drawn.append(size)
        return b"r" * size

    assert generate_key(random).reveal() == b"r" * 32
    assert drawn == [32]
