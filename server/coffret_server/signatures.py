"""Ed25519 verification, the only cryptography beside hashes and MACs that this server does."""

from typing import Final

from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

from coffret_server.problems import refuse
from coffret_server.wire import pae

# The points of order 1, 2, 4 and 8, by their y coordinate (little-endian, sign bit cleared), with
# the two encodings beyond the field's prime: for such a key anybody can make signatures. libsodium
# verifies nothing with them; whoever registers one is told so at once.
_PRIME: Final = 2**255 - 19
_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER: Final = frozenset(
    y.to_bytes(32, "little")
    for y in (0, 1, _PRIME - 1, _PRIME, _PRIME + 1, _ORDER_8, _PRIME - _ORDER_8)
)
_SIGN_BIT: Final = 0x7F
_SIGNATURE_SIZE: Final = 64
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
        "account-deletion",
    )
}


def check_public_key(key: bytes) -> bytes:
    """An Ed25519 public key that is not of small order.

    Raises:
        ProblemError: `weak-key`; of another length, too: libsodium reads 32 bytes in any case.
    """
    if len(key) != pae.KEY_SIZE:
        refuse("weak-key", "a public key is not 32 bytes")
    if key[:31] + bytes([key[31] & _SIGN_BIT]) in _SMALL_ORDER:
        refuse("weak-key", "a public key is of small order")
    return key


class Verifier:
    """A public key that was checked once and verifies many times."""

    __slots__ = ("public_key",)

    def __init__(self, public_key: bytes) -> None:
        self.public_key = check_public_key(public_key)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Verify a signature over exactly these bytes.

        Raises:
            ProblemError: `bad-signature`.
        """
        try:
            if len(signature) == _SIGNATURE_SIZE:  # joined below: a shorter one must not borrow
                crypto_sign_open(signature + message, self.public_key)
                return
        except CryptoError:
            pass
        refuse("bad-signature", "a signature does not verify")

    def verify_kind(self, kind: str, signature: bytes, message: bytes) -> None:
        """Verify a signature of one of the published kinds over a message."""
        self.verify(signature, _LAYOUTS[kind].build(message))
