"""AES-256 (FIPS 197) in Galois/Counter mode (NIST SP 800-38D), 96-bit nonces, 128-bit tags."""

from __future__ import annotations

from vectors.verifier.refusal import CANNOT_OPEN, require

_BLOCK = 16
_ROUNDS = 14
_TAG = 16


def _double(value: int) -> int:
    return (value << 1 ^ (0x11B if value & 0x80 else 0)) & 0x1FF


def _sbox() -> list[int]:
    """The S-box from its definition: inversion in GF(2^8), then an affine map."""
    power, log, value = [0] * 256, [0] * 256, 1
    for exponent in range(255):
        power[exponent], log[value] = value, exponent
        value ^= _double(value)  # times 3, a generator
    table = []
    for byte in range(256):
        inverse = power[(255 - log[byte]) % 255] if byte else 0
        bits = inverse
        for turn in range(1, 5):
            bits ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF
        table.append(bits ^ 0x63)
    return table


_SBOX = _sbox()


def _round_keys(key: bytes) -> list[bytes]:
    words = [key[i : i + 4] for i in range(0, 32, 4)]
    constant = 1
    while len(words) < 4 * (_ROUNDS + 1):
        word = words[-1]
        if len(words) % 8 == 0:
            word = bytes(_SBOX[b] for b in word[1:] + word[:1])
            word = bytes((word[0] ^ constant, *word[1:]))
            constant = _double(constant)
        elif len(words) % 8 == 4:
            word = bytes(_SBOX[b] for b in word)
        words.append(_xor(words[-8], word))
    return [b"".join(words[i : i + 4]) for i in range(0, len(words), 4)]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _mix(column: bytes) -> bytes:
    a, b, c, d = column
    every = a ^ b ^ c ^ d
    pairs = ((a, b), (b, c), (c, d), (d, a))
    return bytes(x ^ every ^ _double(x ^ y) for x, y in pairs)


def _encrypt(keys: list[bytes], block: bytes) -> bytes:
    state = _xor(block, keys[0])
    for number in range(1, _ROUNDS + 1):
        substituted = [_SBOX[b] for b in state]
        state = bytes(substituted[(i + 4 * (i % 4)) % _BLOCK] for i in range(_BLOCK))
        if number < _ROUNDS:
            state = b"".join(_mix(state[i : i + 4]) for i in range(0, _BLOCK, 4))
        state = _xor(state, keys[number])
    return state


def _multiply(left: int, right: int) -> int:
    product = 0
    for bit in range(127, -1, -1):
        if right >> bit & 1:
            product ^= left
        left = left >> 1 ^ (0xE1 << 120 if left & 1 else 0)
    return product


def _ghash(subkey: int, *parts: bytes) -> bytes:
    total = 0
    for part in parts:
        for i in range(0, len(part), _BLOCK):
            block = part[i : i + _BLOCK].ljust(_BLOCK, b"\0")
            total = _multiply(total ^ int.from_bytes(block, "big"), subkey)
    return total.to_bytes(_BLOCK, "big")


def _crypt(keys: list[bytes], nonce: bytes, text: bytes) -> bytes:
    out = []
    for i in range(0, len(text), _BLOCK):
        counter = (i // _BLOCK + 2).to_bytes(4, "big")
        chunk = text[i : i + _BLOCK]
        out.append(_xor(chunk, _encrypt(keys, nonce + counter)[: len(chunk)]))
    return b"".join(out)


def _tag(keys: list[bytes], nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
    subkey = int.from_bytes(_encrypt(keys, bytes(_BLOCK)), "big")
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    return _xor(_ghash(subkey, aad, ciphertext, lengths), _encrypt(keys, nonce + b"\0\0\0\1"))


def gcm_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Ciphertext and tag."""
    keys = _round_keys(key)
    ciphertext = _crypt(keys, nonce, plaintext)
    return ciphertext + _tag(keys, nonce, aad, ciphertext)


def gcm_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Plaintext, or ``cannot-open``."""
    require(len(sealed) >= _TAG, CANNOT_OPEN)
    keys = _round_keys(key)
    ciphertext, tag = sealed[:-_TAG], sealed[-_TAG:]
    require(_tag(keys, nonce, aad, ciphertext) == tag, CANNOT_OPEN)
    return _crypt(keys, nonce, ciphertext)
