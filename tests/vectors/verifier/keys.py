"""Envelope, padding, payload, codes, keyslots and identity: docs/spec/2 to 4."""

from __future__ import annotations

import hmac
import math
import unicodedata
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from argon2.low_level import Type, hash_secret_raw

from vectors.verifier.aes import gcm_open, gcm_seal
from vectors.verifier.curves import ed25519_public
from vectors.verifier.encoding import pae, sha256, u64
from vectors.verifier.hpke import hkdf, xwing_public
from vectors.verifier.msgpack import Pairs, unpack
from vectors.verifier.objects import check_tags, kdf, parse
from vectors.verifier.refusal import (
    CANNOT_OPEN,
    CODE_TYPO,
    KDF_OUT_OF_BOUNDS,
    TOO_LARGE,
    UNKNOWN_SUITE,
    UNTRUSTWORTHY,
    Refused,
    require,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CONTENT = 1 << 20
MAX_PAYLOADS = {"app": 2 << 20, "owner": (2 << 20) + (32 << 10)}


def _envelope_keys(
    purpose: str, key: bytes, header: bytes, salt: bytes
) -> tuple[bytes, bytes, bytes]:
    info = pae("envelope/" + purpose, sha256(header))
    derived = hkdf(key, salt, info, 76)
    return derived[:32], derived[32:44], derived[44:]


def seal(purpose: str, key: bytes, header: bytes, plaintext: bytes, salt: bytes) -> bytes:
    """An envelope with a given salt."""
    secret, nonce, commitment = _envelope_keys(purpose, key, header, salt)
    return b"\x01" + salt + commitment + gcm_seal(secret, nonce, plaintext, header)


def open_envelope(purpose: str, key: bytes, header: bytes, envelope: bytes) -> bytes:
    """The plaintext, or ``cannot-open``."""
    require(len(envelope) >= 81 and envelope[0] == 1, CANNOT_OPEN)
    salt, commitment, ciphertext = envelope[1:33], envelope[33:65], envelope[65:]
    secret, nonce, expected = _envelope_keys(purpose, key, header, salt)
    require(hmac.compare_digest(commitment, expected), CANNOT_OPEN)
    return gcm_open(secret, nonce, ciphertext, header)


def envelope_shape(envelope: bytes) -> None:
    """What a reader without the key can say."""
    require(len(envelope) >= 81)
    require(envelope[0] == 1, UNKNOWN_SUITE)


def unwrap(purpose: str, key: bytes, header: bytes, wrap: bytes) -> bytes:
    """A wrapped key of 32 bytes, or ``cannot-open``."""
    require(len(wrap) == 113, CANNOT_OPEN)
    return open_envelope(purpose, key, header, wrap)


def give(
    mac_key: bytes, account: bytes, grant: tuple[bytes, bytes], memory: tuple[bytes, int, bytes]
) -> bytes:
    """A memory's key for a grant: ids with their keys, and the key's number."""
    grant_id, grant_key = grant
    memory_id, number, memory_key = memory
    marked = pae("given-key", grant_id, memory_id, u64(number), memory_key)
    salt = hmac.digest(mac_key, marked, "sha256")
    header = pae("memory-key-wrap", account, memory_id, u64(number), b"\x01" + grant_id)
    return seal("memory-key", grant_key, header, memory_key, salt)


def frame_size(content: int) -> int:
    """The length of a frame: four buckets, then Padme."""
    size = content + 8
    fitting = [bucket for bucket in (256, 512, 1024, 2048) if size <= bucket]
    if fitting:
        return fitting[0]
    exponent = size.bit_length() - 1
    last = exponent - exponent.bit_length()
    mask = (1 << last) - 1
    return size + mask & ~mask


def unpad(frame: bytes) -> bytes:
    """The content of a frame."""
    require(len(frame) >= 256)
    size = int.from_bytes(frame[:8], "big")
    require(size <= len(frame) and frame_size(size) == len(frame))
    require(not any(frame[8 + size :]))
    return frame[8 : 8 + size]


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _texts(value: object) -> bool:
    return isinstance(value, Pairs) and all(
        isinstance(side, str) for pair in value for side in pair
    )


def _integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_PAYLOAD: dict[str, Callable[[Any], bool]] = {
    "format": lambda value: _integer(value) and value == 1,
    "content": _text,
    "summary": _text,
    "type": _text,
    "confidence": lambda value: isinstance(value, float) and 0 <= value <= 1,
    "source": _text,
    "labels": _texts,
    "metadata": lambda value: isinstance(value, Pairs) and _nests(value, 32),
    "valid_from": _integer,
    "valid_until": _integer,
    "provenance": _texts,
    "title": lambda value: _text(value) and len(value.encode()) <= 512 and "\0" not in value,
    "importance": lambda value: _integer(value) and 0 <= value <= 1_000_000,
    "tags": lambda value: isinstance(value, list) and all(map(_tag, value)),
}


def _tag(value: object) -> bool:
    return isinstance(value, str) and len(value.encode()) <= 64


def _nests(value: object, room: int) -> bool:
    if isinstance(value, Pairs):
        texts = all(isinstance(name, str) for name, _ in value)
        return texts and _all_nest(list(value.mapping().values()), room)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, list) or _all_nest(value, room)


def _all_nest(items: list[Any], room: int) -> bool:
    return room > 0 and all(_nests(item, room - 1) for item in items)


def parse_payload(data: bytes) -> dict[str, Any]:
    """The payload's fields as they stand there; tags and maps included."""
    require(len(data) <= MAX_PAYLOADS["owner"])
    value = unpack(data)
    require(isinstance(value, Pairs))
    names = [name for name, _ in value]
    require(names == [name for name in _PAYLOAD if name in names] and "content" in names)
    require("format" in names)
    for name, item in value:
        require(item != [] and _PAYLOAD[name](item))
    fields: dict[str, Any] = value.mapping()
    for item in fields.values():
        if isinstance(item, Pairs):
            item.mapping()
    require(len(fields["content"].encode()) <= MAX_CONTENT)
    tags = fields.get("tags", [])
    require(len(tags) <= 64 and [t.encode() for t in tags] == sorted({t.encode() for t in tags}))
    check_tags(tags)
    return fields


def content_size(size: int) -> None:
    """Whether a person may write a content of that many bytes."""
    require(size <= MAX_CONTENT, TOO_LARGE)


def payload_size(size: int, author: str) -> None:
    """Whether that author may write a payload of that many bytes."""
    require(size <= MAX_PAYLOADS[author], TOO_LARGE)


_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODES = {"secret-key": ("CF1", 20), "recovery-code": ("CR1", 32)}


def _bits(data: bytes, width: int) -> str:
    bits = "".join(f"{byte:08b}" for byte in data)
    return bits[:width].ljust(width, "0")


def write_code(kind: str, secret: bytes) -> str:
    """The code for people."""
    prefix, size = _CODES[kind]
    bits = _bits(secret, -(-size * 8 // 5) * 5)
    bits += _bits(sha256(pae("code-check", kind.encode(), secret)), 15)
    symbols = [_ALPHABET[int(bits[i : i + 5], 2)] for i in range(0, len(bits), 5)]
    groups = ["".join(symbols[i : i + 5]) for i in range(0, len(symbols), 5)]
    return "-".join([prefix, *groups])


def read_code(kind: str, code: str) -> bytes:
    """The secret, or ``code-typo``: decoded, and written again to compare."""
    prefix, size = _CODES[kind]
    plain = "".join(code.upper().split()).replace("-", "")
    for typed, meant in (("O", "0"), ("I", "1"), ("L", "1")):
        plain = plain.replace(typed, meant)
    body = plain[len(prefix) :]
    require(set(body) <= set(_ALPHABET), CODE_TYPO)
    bits = "".join(f"{_ALPHABET.index(symbol):05b}" for symbol in body)
    require(len(bits) >= size * 8, CODE_TYPO)
    secret = int(bits[: size * 8], 2).to_bytes(size, "big")
    require(plain == write_code(kind, secret).replace("-", ""), CODE_TYPO)
    return secret


def check_kdf(data: bytes) -> list[Any]:
    """The parameters, if a device accepts them."""
    parameters = kdf(data)
    require(parameters)
    _, memory, passes, lanes = parameters
    within = 65_536 <= memory <= 1_048_576 and 3 <= passes <= 10 and 1 <= lanes <= 4
    require(within, KDF_OUT_OF_BOUNDS)
    return parameters


def derive(key: bytes, purpose: str, *fields: bytes) -> bytes:
    """``derive`` of docs/spec/3-keys.md."""
    return hkdf(key, b"", pae(purpose, *fields), 32)


def stretch(passphrase: str, kdf_field: bytes) -> bytes:
    """Argon2id over the passphrase."""
    salt, memory, passes, lanes = check_kdf(kdf_field)
    secret = unicodedata.normalize("NFC", passphrase).encode()
    return hash_secret_raw(
        secret, bytes.fromhex(salt), passes, memory, lanes, hash_len=32, type=Type.ID
    )


def _slot_roots(
    fields: dict[str, Any], raw: dict[str, bytes], place: list[bytes], secrets: dict[str, str]
) -> tuple[bytes, bytes]:
    """The login seed and the key that unwraps."""
    if fields["kind"] == "recovery":
        code = bytes.fromhex(secrets["recovery_code"])
        return derive(code, "recovery-login-seed", *place), derive(code, "recovery-key", *place)
    key = stretch(secrets["passphrase"], raw["kdf"]) + bytes.fromhex(secrets["secret_key"])
    extra = [*place, raw["kdf"]]
    return derive(key, "login-seed", *extra), derive(key, "unlock-key", *extra)


def open_keyslot(slot: bytes, origin: str, account: bytes, secrets: dict[str, str]) -> bytes:
    """The account key; wrong credentials are ``cannot-open``."""
    fields, raw = parse("keyslot", slot), _slot_fields(slot)
    require(raw["account_id"] == account, UNTRUSTWORTHY)
    place = [origin.encode(), account]
    login, unlock = _slot_roots(fields, raw, place, secrets)
    require(ed25519_public(login).hex() == fields["login_public"], CANNOT_OPEN)
    bound = ("slot_id", "kind", "generation", "kdf", "login_public")
    header = pae("account-key-wrap", *place, *(raw[name] for name in bound))
    return unwrap("account-key", unlock, header, raw["wrap"])


def _slot_fields(slot: bytes) -> dict[str, bytes]:
    """The slot's fields as bytes, cut out of a keyslot that was parsed before."""
    names = (
        *("account_id", "slot_id", "kind", "generation"),
        *("kdf", "login_public", "created", "wrap"),
    )
    at, out = len(pae("keyslot")), {}
    for name in names:
        size = int.from_bytes(slot[at : at + 8], "big")
        out[name] = slot[at + 8 : at + 8 + size]
        at += 8 + size
    return out


@cache
def _words() -> list[str]:
    """The EFF's long list: each line has five dice and a word."""
    listed = files("dicewarepy").joinpath("wordlists/eff_large_wordlist.txt")
    return [line.split("\t")[1] for line in listed.read_text(encoding="ascii").splitlines()]


def fingerprint(keys_hash: bytes) -> str:
    """Eight words."""
    number = int.from_bytes(keys_hash, "big")
    return " ".join(_words()[number // 7776**place % 7776] for place in range(8))


def kek(account_key: bytes, purpose: str, account: bytes, generation: int) -> bytes:
    """A KEK of the account key."""
    return derive(account_key, "kek/" + purpose, account, u64(generation))


def open_identity(
    account_key: bytes, generation: int, account: bytes, card: bytes, envelope: bytes
) -> bytes:
    """The two seeds, compared with the card."""
    fields = parse("account", card)
    publics = [bytes.fromhex(fields[name]) for name in ("signing_public", "sealing_public")]
    header = pae("identity-seeds", account, u64(generation), *publics)
    key = kek(account_key, "identity", account, generation)
    seeds = open_envelope("identity", key, header, envelope)
    if [ed25519_public(seeds[:32]), xwing_public(seeds[32:])] != publics:
        raise Refused(UNTRUSTWORTHY)
    return seeds


def open_session_name(
    account_key: bytes, generation: int, account: bytes, session: bytes, envelope: bytes
) -> str:
    """What a device calls itself."""
    header = pae("session-name", account, u64(generation), session)
    key = kek(account_key, "local", account, generation)
    padded = open_envelope("session-name", key, header, envelope)
    try:
        name = padded.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise Refused(CANNOT_OPEN) from None
    if len(padded) != 64:
        raise Refused(CANNOT_OPEN)
    return name
