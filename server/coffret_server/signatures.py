"""Ed25519 verification, the only cryptography beside hashes and MACs that this server does."""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from coffret_server.problems import ProblemError, refuse
from coffret_server.wire import pae

# The points of order 1, 2, 4 and 8, by their y coordinate (little-endian, sign bit cleared), with
# the two encodings beyond the field's prime: for such a key anybody can make signatures.
_PRIME: Final = 2**255 - 19
_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER: Final = frozenset(
    y.to_bytes(32, "little")
    for y in (0, 1, _PRIME - 1, _PRIME, _PRIME + 1, _ORDER_8, _PRIME - _ORDER_8)
)
_SIGN_BIT: Final = 0x7F
_LAYOUTS: Final = {
    kind: pae.Layout(f"sign/{kind}", 1)
    for kind in (
        "account",
        "login",
        "app-entry",
        "app-manifest",
        "access-request",
        "grant",
        "succession",
    )
}


def check_public_key(key: bytes) -> bytes:
    """An Ed25519 public key that is not of small order.

    Raises:
        ProblemError: `weak-key`.
    """
    if key[:31] + bytes([key[31] & _SIGN_BIT]) in _SMALL_ORDER:
        refuse("weak-key", "a public key is of small order")
    return key


class Verifier:
    """A public key that was checked once and verifies many times."""

    __slots__ = ("_key", "public_key")

    def __init__(self, public_key: bytes) -> None:
        self.public_key = check_public_key(public_key)
        self._key = Ed25519PublicKey.from_public_bytes(public_key)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Verify a signature over exactly these bytes.

        Raises:
            ProblemError: `bad-signature`.
        """
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            code = "bad-signature"
            raise ProblemError(code, "a signature does not verify") from None

    def verify_kind(self, kind: str, signature: bytes, message: bytes) -> None:
        """Verify a signature of one of the published kinds over a message."""
        self.verify(signature, _LAYOUTS[kind].build(message))
