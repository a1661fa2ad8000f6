"""ML-KEM-768 (FIPS 203), from the standard's algorithms; numbers in brackets are theirs."""

from __future__ import annotations

import hashlib

_Q = 3329
_N = 256
_K = 3
_DU, _DV = 10, 4
_VECTOR = 384 * _K

Polynomial = list[int]


def _reverse7(value: int) -> int:
    return int(f"{value:07b}"[::-1], 2)


_ZETAS = [pow(17, _reverse7(i), _Q) for i in range(128)]
_GAMMAS = [pow(17, 2 * _reverse7(i) + 1, _Q) for i in range(128)]


def _bits_of(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _encode(values: Polynomial, width: int) -> bytes:
    """ByteEncode [5]."""
    number = sum(value << width * i for i, value in enumerate(values))
    return number.to_bytes(32 * width, "little")


def _decode(data: bytes, width: int) -> Polynomial:
    """ByteDecode [6]."""
    number = _bits_of(data)
    mask = (1 << width) - 1
    values = [number >> width * i & mask for i in range(_N)]
    return [value % _Q for value in values] if width == 12 else values


def _compress(values: Polynomial, width: int) -> Polynomial:
    return [((value << width) + _Q // 2) // _Q % (1 << width) for value in values]


def _decompress(values: Polynomial, width: int) -> Polynomial:
    return [(value * _Q + (1 << width - 1)) >> width for value in values]


def _sample_ntt(seed: bytes) -> Polynomial:
    """SampleNTT [7]."""
    stream = hashlib.shake_128(seed).digest(1344)  # enough: more is needed once in 2^38 or so
    values: Polynomial = []
    for i in range(0, len(stream), 3):
        a, b, c = stream[i : i + 3]
        values += [v for v in (a + 256 * (b % 16), b // 16 + 16 * c) if v < _Q]
    return values[:_N]


def _sample_cbd(seed: bytes, nonce: int) -> Polynomial:
    """SamplePolyCBD [8] of PRF, eta = 2."""
    bits = _bits_of(hashlib.shake_256(seed + bytes([nonce])).digest(128))
    out = []
    for i in range(_N):
        nibble = bits >> 4 * i & 15
        out.append(((nibble & 1) + (nibble >> 1 & 1) - (nibble >> 2 & 1) - (nibble >> 3)) % _Q)
    return out


def _ntt(values: Polynomial) -> Polynomial:
    """NTT [9]."""
    f, i, length = list(values), 1, 128
    while length >= 2:
        for start in range(0, _N, 2 * length):
            for j in range(start, start + length):
                turned = _ZETAS[i] * f[j + length] % _Q
                f[j + length], f[j] = (f[j] - turned) % _Q, (f[j] + turned) % _Q
            i += 1
        length //= 2
    return f


def _inverse_ntt(values: Polynomial) -> Polynomial:
    """NTT inverse [10]."""
    f, i, length = list(values), 127, 2
    while length <= 128:
        for start in range(0, _N, 2 * length):
            for j in range(start, start + length):
                kept = f[j]
                f[j] = (kept + f[j + length]) % _Q
                f[j + length] = _ZETAS[i] * (f[j + length] - kept) % _Q
            i -= 1
        length *= 2
    return [value * 3303 % _Q for value in f]


def _times(left: Polynomial, right: Polynomial) -> Polynomial:
    """MultiplyNTTs [11]."""
    out: Polynomial = []
    for i, gamma in enumerate(_GAMMAS):
        a0, a1, b0, b1 = *left[2 * i : 2 * i + 2], *right[2 * i : 2 * i + 2]
        out += [(a0 * b0 + a1 * b1 * gamma) % _Q, (a0 * b1 + a1 * b0) % _Q]
    return out


def _plus(*terms: Polynomial) -> Polynomial:
    return [sum(values) % _Q for values in zip(*terms, strict=True)]


def _dot(left: list[Polynomial], right: list[Polynomial]) -> Polynomial:
    return _plus(*(_times(a, b) for a, b in zip(left, right, strict=True)))


def _matrix(rho: bytes) -> list[list[Polynomial]]:
    return [[_sample_ntt(rho + bytes([j, i])) for j in range(_K)] for i in range(_K)]


def _polynomials(data: bytes, width: int) -> list[Polynomial]:
    size = 32 * width
    return [_decode(data[i : i + size], width) for i in range(0, len(data), size)]


def key_pair(seed: bytes) -> tuple[bytes, bytes]:
    """KeyGen_internal [16]: the encapsulation key, and the secret vector as it is kept."""
    digest = hashlib.sha3_512(seed[:32] + bytes([_K])).digest()
    rho, sigma = digest[:32], digest[32:]
    secret = [_ntt(_sample_cbd(sigma, n)) for n in range(_K)]
    errors = [_ntt(_sample_cbd(sigma, n + _K)) for n in range(_K)]
    rows = _matrix(rho)
    public = [_plus(_dot(row, secret), error) for row, error in zip(rows, errors, strict=True)]
    encoded = b"".join(_encode(part, 12) for part in public)
    return encoded + rho, b"".join(_encode(part, 12) for part in secret)


def _encrypt(public: bytes, message: bytes, randomness: bytes) -> bytes:
    """K-PKE.Encrypt [14]."""
    vector, rho = _polynomials(public[:_VECTOR], 12), public[_VECTOR:]
    rows = _matrix(rho)
    blind = [_ntt(_sample_cbd(randomness, n)) for n in range(_K)]
    out = b""
    for i in range(_K):
        column = [rows[j][i] for j in range(_K)]
        u = _plus(_inverse_ntt(_dot(column, blind)), _sample_cbd(randomness, _K + i))
        out += _encode(_compress(u, _DU), _DU)
    bits = _decompress(_decode(message, 1), 1)
    v = _plus(_inverse_ntt(_dot(vector, blind)), _sample_cbd(randomness, 2 * _K), bits)
    return out + _encode(_compress(v, _DV), _DV)


def encapsulate(public: bytes, message: bytes) -> tuple[bytes, bytes]:
    """Encaps_internal [17]: the shared key and the ciphertext for 32 bytes of randomness."""
    digest = hashlib.sha3_512(message + hashlib.sha3_256(public).digest()).digest()
    return digest[:32], _encrypt(public, message, digest[32:])


def decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    """Decaps_internal [18], with implicit rejection."""
    public, secret = key_pair(seed)
    split = 32 * _DU * _K
    u = [_ntt(_decompress(p, _DU)) for p in _polynomials(ciphertext[:split], _DU)]
    v = _decompress(_decode(ciphertext[split:], _DV), _DV)
    noise = _inverse_ntt(_dot(_polynomials(secret, 12), u))
    plain = [(a - b) % _Q for a, b in zip(v, noise, strict=True)]
    message = _encode(_compress(plain, 1), 1)
    shared, again = encapsulate(public, message)
    if again != ciphertext:
        return hashlib.shake_256(seed[32:] + ciphertext).digest(32)
    return shared
