"""Envelopes open with one purpose, key and header, and otherwise say nothing."""

import os
from itertools import permutations
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coffret_vault.envelope import OVERHEAD, open_envelope, seal, unwrap_key, wrap_key
from coffret_vault.envelope.signature import sign_statement, verify_statement
from coffret_vault.errors import BadSignatureError, FormatError, OpenError
from coffret_vault.formats.account import account_key_wrap_header, identity_seeds_header
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.formats.memory import KEK, Kek, memory_key_wrap_header
from coffret_vault.formats.pae import u64
from coffret_vault.formats.sharing import grant_approval, grant_key_wrap_header
from coffret_vault.primitives.identity import SealingKey, seal_to
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import aes_gcm_open
from harness.flipping import flipped
from vectors.making.samples import (
    ACCOUNT_ID,
    APP_KEYS,
    GRANT_ID,
    KEYSLOT_SAMPLE,
    LAYOUTS,
    MEMORY_ID,
    ORIGIN,
    OWNER_KEYS,
    SAMPLES,
)
from vectors.verifier.aes import _encrypt, _ghash, _multiply, _round_keys
from vectors.verifier.keys import _envelope_keys

KEY = SecretBytes(bytes(range(32)))
bounded = settings(max_examples=60, deadline=None)
HEADERS = {
    "memory": LAYOUTS["memory-header"].serialize(SAMPLES["memory-header"]),
    "memory-key": memory_key_wrap_header(ACCOUNT_ID, MEMORY_ID, 1, KEK.encode(Kek(generation=1))),
    "grant-key": grant_key_wrap_header(ACCOUNT_ID, GRANT_ID, 1),
    "account-key": account_key_wrap_header(KEYSLOT_SAMPLE, ORIGIN),
    "identity": identity_seeds_header(
        ACCOUNT_ID, 1, OWNER_KEYS.signing.public, OWNER_KEYS.sealing.public
    ),
}
SIGNED = ("account", "login", "app-entry", "app-manifest", "access-request", "grant")


@bounded
@given(st.binary(max_size=300), st.binary(max_size=60))
def test_what_was_sealed_opens(plaintext: bytes, header: bytes) -> None:
    """An envelope opens to its plaintext and is 81 bytes longer."""
    sealed = seal("memory", KEY, header, plaintext, random=os.urandom)
    assert open_envelope("memory", KEY, header, sealed) == plaintext
    assert len(sealed) == len(plaintext) + OVERHEAD


@pytest.mark.attack(11)
def test_every_bit_of_an_envelope_counts() -> None:
    """With any one bit changed it does not open."""
    sealed = seal("memory", KEY, b"header", b"a small secret", random=os.urandom)
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(OpenError):
            open_envelope("memory", KEY, b"header", bytes(changed))


@pytest.mark.attack(11)
def test_every_length_of_an_envelope_counts() -> None:
    """Cut anywhere, or with bytes behind it, it does not open."""
    sealed = seal("memory", KEY, b"header", b"a small secret", random=os.urandom)
    for size in range(len(sealed)):
        with pytest.raises(OpenError):
            open_envelope("memory", KEY, b"header", sealed[:size])
    with pytest.raises(OpenError):
        open_envelope("memory", KEY, b"header", sealed + b"\0")


@bounded
@given(st.integers(0, 255), st.binary(max_size=200))
def test_noise_does_not_open(first: int, noise: bytes) -> None:
    """No bytes open that were not sealed, and the error is the same one."""
    with pytest.raises(OpenError, match=r"^This could not be opened\.$"):
        open_envelope("memory", KEY, b"header", bytes([first]) + noise)


@bounded
@given(st.integers(0, 32 * 8 - 1), st.integers(0, 6 * 8 - 1))
def test_every_bit_of_key_and_header_counts(key_bit: int, header_bit: int) -> None:
    """With a bit of the key or of the header changed it does not open."""
    header = b"header"
    sealed = seal("memory", KEY, header, b"secret", random=os.urandom)
    key = bytearray(KEY.reveal())
    key[key_bit // 8] ^= 1 << key_bit % 8
    changed = bytearray(header)
    changed[header_bit // 8] ^= 1 << header_bit % 8
    with pytest.raises(OpenError):
        open_envelope("memory", SecretBytes(bytes(key)), header, sealed)
    with pytest.raises(OpenError):
        open_envelope("memory", KEY, bytes(changed), sealed)


@pytest.mark.attack(14)
def test_all_failures_look_alike() -> None:
    """Neither message, nor hint, nor cause tells why something did not open."""
    sealed = seal("memory", KEY, b"header", bytes(32), random=os.urandom)
    tampered = flipped(sealed)
    attempts = (
        lambda: open_envelope("memory", KEY, b"header", b""),
        lambda: open_envelope("memory", KEY, b"header", b"\2" + sealed[1:]),
        lambda: open_envelope("memory", KEY, b"other", sealed),
        lambda: open_envelope("other", KEY, b"header", sealed),
        lambda: open_envelope("memory", KEY, b"header", tampered),
        lambda: unwrap_key("memory", KEY, b"header", sealed[:-1]),
        lambda: unwrap_key("memory", KEY, b"other", sealed),
        lambda: APP_KEYS.sealing.open(sealed, b""),
        lambda: APP_KEYS.sealing.open(bytes(1200), b""),
    )
    seen = set()
    for attempt in attempts:
        with pytest.raises(OpenError) as caught:
            attempt()
        error = caught.value
        shown = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        seen.add((type(error), str(error), error.hint, shown))
    assert seen == {(OpenError, "This could not be opened.", "", None)}


@pytest.mark.attack(29)
def test_every_wrap_opens_only_as_what_it_is() -> None:
    """No wrapped key or sealed content opens with the purpose or the header of another kind."""
    wraps = {
        purpose: wrap_key(purpose, KEY, header, SecretBytes(b"k" * 32), random=os.urandom)
        for purpose, header in HEADERS.items()
    }
    for purpose, header in HEADERS.items():
        assert unwrap_key(purpose, KEY, header, wraps[purpose]).reveal() == b"k" * 32
    for one, other in permutations(HEADERS, 2):
        for purpose, header in ((one, HEADERS[other]), (other, HEADERS[one])):
            with pytest.raises(OpenError):
                unwrap_key(purpose, KEY, header, wraps[one])
        with pytest.raises(OpenError):
            unwrap_key(other, KEY, HEADERS[other], wraps[one])


@pytest.mark.attack(29)
def test_no_object_parses_as_another_kind() -> None:
    """Every kind of object is refused by the parser of every other kind."""
    encoded = {kind: LAYOUTS[kind].serialize(sample) for kind, sample in SAMPLES.items()}
    others = {
        **encoded,
        **HEADERS,
        "envelope": seal("memory", KEY, b"", bytes(200), random=os.urandom),
        "approval": grant_approval(encoded["grant"], bytes(1168)),
    }
    for kind, layout in LAYOUTS.items():
        for data in others.values():
            if data != encoded[kind]:
                with pytest.raises(FormatError):
                    layout.parse(data)
    for other, data in others.items():
        if other != "log-entry":
            with pytest.raises(FormatError):
                parse_leaf(data)


@pytest.mark.attack(29)
def test_no_signature_verifies_as_another_kind() -> None:
    """A signature of one kind over some bytes is none of any other kind over them."""
    message = LAYOUTS["grant"].serialize(SAMPLES["grant"])
    for kind in SIGNED:
        signature = sign_statement(OWNER_KEYS.signing, kind, message)
        verify_statement(OWNER_KEYS.signing.public, kind, message, signature)
        for other in SIGNED:
            if other != kind:
                with pytest.raises(BadSignatureError):
                    verify_statement(OWNER_KEYS.signing.public, other, message, signature)


@pytest.mark.attack(11)
@bounded
@given(st.integers(0, 8 * (1120 + 48) - 1))
def test_every_bit_of_a_sealed_key_counts(bit: int) -> None:
    """With a bit of encapsulation, text or tag changed, HPKE does not open."""
    sealed = bytearray(seal_to(APP_KEYS.sealing.public, SecretBytes(bytes(32)), b"info"))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(OpenError):
        APP_KEYS.sealing.open(bytes(sealed), b"info")


def test_a_stranger_opens_no_sealed_key() -> None:
    """A sealed key opens for the one who has the key, under the info it was sealed with."""
    sealed = seal_to(APP_KEYS.sealing.public, SecretBytes(b"k" * 32), b"info")
    assert APP_KEYS.sealing.open(sealed, b"info").reveal() == b"k" * 32
    half = SealingKey(SecretBytes(bytes(32)))
    for key, info in ((OWNER_KEYS.sealing, b"info"), (half, b"info"), (APP_KEYS.sealing, b"")):
        with pytest.raises(OpenError):
            key.open(sealed, info)


def _inverse(value: int) -> int:
    """In GHASH's field: to the power of 2^128 - 2."""
    result, power = 1 << 127, value
    for _ in range(127):
        power = _multiply(power, power)
        result = _multiply(result, power)
    return result


def _linear(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> tuple[int, int]:
    """The GHASH subkey, and the tag that this ciphertext has under this key, as integers."""
    keys = _round_keys(key)
    subkey = int.from_bytes(_encrypt(keys, bytes(16)), "big")
    lengths = u64(8 * len(aad)) + u64(8 * len(ciphertext))
    mask = int.from_bytes(_encrypt(keys, nonce + b"\0\0\0\1"), "big")
    return subkey, mask ^ int.from_bytes(_ghash(subkey, aad, ciphertext, lengths), "big")


def _salamander(pairs: list[tuple[bytes, bytes]], aad: bytes) -> bytes:
    """A ciphertext with its tag that opens under two pairs of key and nonce.

    One block is left free and solved for, so that both tags come out equal: the last block X adds
    X·H^2 to the tag. (Dodis, Grubbs, Ristenpart, Woodage: "Fast Message Franking: From Invisible
    Salamanders to Encryptment", CRYPTO 2018.)
    """
    start = bytes(range(32)) + bytes(16)
    (first, tag1), (second, tag2) = (_linear(key, nonce, start, aad) for key, nonce in pairs)
    squares = _multiply(first, first) ^ _multiply(second, second)
    block = _multiply(tag1 ^ tag2, _inverse(squares))
    ciphertext = start[:32] + block.to_bytes(16, "big")
    _, tag = _linear(*pairs[0], ciphertext, aad)
    return ciphertext + tag.to_bytes(16, "big")


@pytest.mark.attack(26, 27)
@pytest.mark.control(26, 27)
def test_an_invisible_salamander_lives_in_gcm_and_dies_at_the_commitment() -> None:
    """A text made for two keys opens under both in AES-GCM (the control), as an envelope under one.

    It is built for the keys and nonces that the envelope derives, so that nothing but the
    commitment is in its way: without that comparison both keys open it.
    """
    keys, header, salt = (SecretBytes(b"1" * 32), SecretBytes(b"2" * 32)), b"header", b"s" * 32
    derived = [_envelope_keys("memory", key.reveal(), header, salt) for key in keys]
    text = _salamander([(key, nonce) for key, nonce, _ in derived], header)
    opened = [aes_gcm_open(key, nonce, text, header) for key, nonce, _ in derived]
    assert opened[0] != opened[1]
    for number, (_, _, commitment) in enumerate(derived):
        forged = b"\1" + salt + commitment + text
        mine, other = keys[number], keys[1 - number]
        assert open_envelope("memory", mine, header, forged) == opened[number]
        with pytest.raises(OpenError):
            open_envelope("memory", other, header, forged)
        with mock.patch("coffret_vault.envelope.seal.same", return_value=True):
            assert open_envelope("memory", other, header, forged) == opened[1 - number]


@pytest.mark.attack(27)
def test_an_envelope_names_one_key() -> None:
    """Of many candidate keys exactly the one it was sealed with opens it."""
    keys = [SecretBytes(bytes([n]) * 32) for n in range(40)]
    sealed = seal("account-key", keys[7], b"header", bytes(32), random=os.urandom)
    opened = []
    for number, key in enumerate(keys):
        try:
            unwrap_key("account-key", key, b"header", sealed)
        except OpenError:
            continue
        opened.append(number)
    assert opened == [7]


@pytest.mark.attack(28)
def test_no_key_and_nonce_repeat() -> None:
    """Of 500 envelopes of one key, header and text no two have one salt, nor one commitment."""
    seen = [seal("memory", KEY, b"header", b"", random=os.urandom) for _ in range(500)]
    assert len({sealed[1:33] for sealed in seen}) == len({sealed[33:65] for sealed in seen}) == 500
