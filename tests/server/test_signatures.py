"""Ed25519 keys that anybody can sign for are refused."""

import pytest

from coffret_server.problems import ProblemError
from coffret_server.signatures import _SMALL_ORDER, Verifier, check_public_key
from server import forge

PRIME = 2**255 - 19
D = -121665 * pow(121666, -1, PRIME) % PRIME


def double(x: int, y: int) -> tuple[int, int]:
    """Twice a point of the curve (RFC 8032 §5.1)."""
    product = D * x * x * y * y
    return (
        2 * x * y * pow(1 + product, -1, PRIME) % PRIME,
        (y * y + x * x) * pow(1 - product, -1, PRIME) % PRIME,
    )


def root(value: int) -> int | None:
    """A square root modulo the prime, or None."""
    guess = pow(value, (PRIME + 3) // 8, PRIME)
    for candidate in (guess, guess * pow(2, (PRIME - 1) // 4, PRIME) % PRIME):
        if candidate * candidate % PRIME == value % PRIME:
            return candidate
    return None


def test_each_refused_key_is_of_small_order() -> None:
    """Eight times each refused point is the neutral element: nothing sound is refused."""
    for key in _SMALL_ORDER:
        y = int.from_bytes(key, "little") % PRIME
        x = root((y * y - 1) * pow(D * y * y + 1, -1, PRIME))
        assert x is not None
        point = (x, y)
        for _ in range(3):
            point = double(*point)
        assert point == (0, 1)
    assert len(_SMALL_ORDER) == 7


@pytest.mark.parametrize("sign", [0, 0x80])
def test_small_orders_are_refused_with_either_sign(sign: int) -> None:
    """The sign bit does not help."""
    for key in _SMALL_ORDER:
        with pytest.raises(ProblemError) as caught:
            check_public_key(key[:31] + bytes([key[31] | sign]))
        assert caught.value.code == "weak-key"


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    """The library would read 32 bytes wherever they are."""
    with pytest.raises(ProblemError) as caught:
        Verifier(b"\x07" * size)
    assert caught.value.code == "weak-key"


def test_a_signature_is_bound_to_its_kind() -> None:
    """A signature of one kind is none of another."""
    owner = forge.Owner()
    verifier = Verifier(forge.public(owner.key))
    signature = forge.sign(owner.key, "login", b"message")
    verifier.verify_kind("login", signature, b"message")
    with pytest.raises(ProblemError) as caught:
        verifier.verify_kind("grant", signature, b"message")
    assert caught.value.code == "bad-signature"
