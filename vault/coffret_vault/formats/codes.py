"""Secret Keys and recovery codes as people write them down. docs/spec/3-keys.md."""

from __future__ import annotations

import hashlib

from coffret_vault.errors import CodeTypoError
from coffret_vault.formats.pae import pae

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: no I, L, O, U
_VALUES = {symbol: value for value, symbol in enumerate(_ALPHABET)}
_LOOKALIKES = str.maketrans("OIL", "011")
_CHECK_SYMBOLS = 3
_BITS = 5

SECRET_KEY = "secret-key"  # noqa: S105 - the name of a kind of code
RECOVERY_CODE = "recovery-code"
_PREFIXES = {SECRET_KEY: "CF1", RECOVERY_CODE: "CR1"}
_SIZES = {SECRET_KEY: 20, RECOVERY_CODE: 32}


def _symbols(number: int, count: int) -> str:
    return "".join(_ALPHABET[number >> _BITS * i & 31] for i in reversed(range(count)))


def _check(kind: str, secret: bytes) -> str:
    digest = hashlib.sha256(pae("code-check", kind.encode("ascii"), secret)).digest()
    return _symbols(int.from_bytes(digest[:2], "big") >> 1, _CHECK_SYMBOLS)


def write_code(kind: str, secret: bytes) -> str:
    """The code for a secret, in groups of five, with its check."""
    count = -(-len(secret) * 8 // _BITS)
    filled = int.from_bytes(secret, "big") << (count * _BITS - len(secret) * 8)
    body = _symbols(filled, count) + _check(kind, secret)
    groups = [body[i : i + _BITS] for i in range(0, len(body), _BITS)]
    return "-".join((_PREFIXES[kind], *groups))


def read_code(kind: str, code: str) -> bytes:
    """The secret of a code that a person typed.

    Raises:
        CodeTypoError: wrong beginning, length, symbol or check.
    """
    plain = "".join(code.upper().split()).replace("-", "").translate(_LOOKALIKES)
    size, prefix = _SIZES[kind], _PREFIXES[kind]
    count = -(-size * 8 // _BITS)
    values = [_VALUES.get(symbol) for symbol in plain.removeprefix(prefix)]
    if not plain.startswith(prefix) or len(values) != count + _CHECK_SYMBOLS or None in values:
        raise CodeTypoError(hint=f"It begins with {prefix}- and has groups of five characters.")
    number = 0
    for value in values[:count]:
        number = number << _BITS | (value or 0)
    spare = count * _BITS - size * 8
    secret = (number >> spare).to_bytes(size, "big")
    typed = "".join(_ALPHABET[value or 0] for value in values[count:])
    if number & ((1 << spare) - 1) or typed != _check(kind, secret):
        raise CodeTypoError(hint="One or more characters differ from the code that was shown.")
    return secret
