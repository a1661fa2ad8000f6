"""Ed25519 (RFC 8032) and X25519 (RFC 7748), from the formulas."""

from __future__ import annotations

import hashlib

from vectors.verifier.refusal import BAD_SIGNATURE, WEAK_KEY, require

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, P) % P
_ROOT = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(left: Point, right: Point) -> Point:
    """The complete addition law of the twisted Edwards curve, in affine coordinates."""
    (x1, y1), (x2, y2) = left, right
    cross = _D * x1 * x2 * y1 * y2 % P
    x3 = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, P)
    y3 = (y1 * y2 + x1 * x2) * pow(1 - cross, -1, P)
    return x3 % P, y3 % P


def multiply(scalar: int, point: Point) -> Point:
    """``scalar`` times ``point``."""
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def recover_x(y: int, sign: int) -> int | None:
    """The x of that y and sign; None if there is none. ``y`` is reduced first."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * _ROOT % P
    if (x * x - square) % P:
        return None
    return P - x if x and x & 1 != sign else x


def _base() -> Point:
    y = 4 * pow(5, -1, P) % P
    return recover_x(y, 0) or 0, y


_BASE = _base()


def encode_point(point: Point) -> bytes:
    """32 bytes: y, and the lowest bit of x as the highest bit."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode_point(data: bytes) -> Point | None:
    """The point that these bytes name, y taken modulo p; None if there is none."""
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    x = recover_x(y % P, sign)
    return None if x is None else (x, y % P)


def _expand(seed: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return scalar, digest[32:]


def ed25519_public(seed: bytes) -> bytes:
    """The public key of a seed."""
    return encode_point(multiply(_expand(seed)[0], _BASE))


def _challenge(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def ed25519_sign(
    seed: bytes, message: bytes, nonce: int | None = None, public: bytes | None = None
) -> bytes:
    """64 bytes. Whoever has the seed may name a nonce and a public key as they ought not to."""
    scalar, prefix = _expand(seed)
    nonce = _challenge(prefix, message) if nonce is None else nonce
    commitment = encode_point(multiply(nonce, _BASE))
    public = public or encode_point(multiply(scalar, _BASE))
    response = (nonce + _challenge(commitment, public, message) * scalar) % ORDER
    return commitment + response.to_bytes(32, "little")


def check_public(public: bytes) -> Point | None:
    """The point of a key, if it is one; or ``weak-key`` (8 times the point is the identity)."""
    require(len(public) == 32, WEAK_KEY)
    point = decode_point(public)
    require(point is None or multiply(8, point) != IDENTITY, WEAK_KEY)
    return point


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Nothing, or ``weak-key``, or ``bad-signature``."""
    point = check_public(public)
    require(point is not None and len(signature) == 64, BAD_SIGNATURE)
    response = int.from_bytes(signature[32:], "little")
    commitment = decode_point(signature[:32])
    require(response < ORDER and commitment is not None, BAD_SIGNATURE)
    if point is None or commitment is None:  # require has refused; this is for the type checker
        raise AssertionError
    require(encode_point(point) == public, BAD_SIGNATURE)
    require(encode_point(commitment) == signature[:32], BAD_SIGNATURE)
    require(multiply(8, commitment) != IDENTITY, BAD_SIGNATURE)
    right = add(commitment, multiply(_challenge(signature[:32], public, message), point))
    require(multiply(response, _BASE) == right, BAD_SIGNATURE)


def x25519(scalar: bytes, u_bytes: bytes) -> bytes:
    """The Montgomery ladder of RFC 7748, section 5."""
    k = int.from_bytes(scalar, "little") & (1 << 254) - 8 | 1 << 254
    u = int.from_bytes(u_bytes, "little") & (1 << 255) - 1
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in range(254, -1, -1):
        if k >> bit & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        x3, z3 = pow(d * a + c * b, 2, P), u * pow(d * a - c * b, 2, P) % P
        aa, bb = a * a % P, b * b % P
        x2, z2 = aa * bb % P, (aa - bb) * (aa + 121665 * (aa - bb)) % P
        if k >> bit & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


X25519_BASE = (9).to_bytes(32, "little")
