"""Attacks on ciphertexts themselves; the controls do them to constructions that are weak."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import unicodedata
from typing import Any
from unittest.mock import patch

import pytest

from coffret_server.problems import ProblemError
from coffret_server.strict import loads
from coffret_vault.envelope import open_envelope, seal, unwrap_key, wrap_key
from coffret_vault.errors import CredentialsError, FormatError, OpenError, UnknownSuiteError
from coffret_vault.formats.account import AccountCard
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.formats.pae import pae, read_pae
from coffret_vault.keyring import Keyring
from coffret_vault.keyring.keyring import generate_identity, open_identity
from coffret_vault.primitives.identity import SigningKey, verify_signature
from coffret_vault.primitives.secret import SecretBytes
from harness import weak
from vectors.making.samples import LAYOUTS, SAMPLES

KEY = SecretBytes(b"k" * 32)
RAW = KEY.reveal()
LARGE = os.urandom(1 << 17)


def flipped(data: bytes, bit: int) -> bytes:
    """The same with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# -- bits ---------------------------------------------------------------------------------------


@pytest.mark.attack(11)
def test_a_thousand_bits_of_a_large_envelope() -> None:
    """A bit changed anywhere in a large envelope, and it does not open."""
    sealed = seal("memory", KEY, b"header", LARGE, random=os.urandom)
    for bit in random.Random(11).sample(range(8 * len(sealed)), 1_000):  # noqa: S311 - places, no keys
        with pytest.raises(OpenError):
            open_envelope("memory", KEY, b"header", flipped(sealed, bit))


@pytest.mark.control(11)
def test_bits_can_be_changed_in_a_cipher_without_a_tag() -> None:
    """Control: in AES-CTR a bit changed in the ciphertext is that bit changed in the plaintext."""
    sealed = weak.seal_ctr(RAW, b"pay 1")
    assert weak.open_ctr(RAW, flipped(sealed, 8 * (weak.BLOCK + 4) + 3)) == b"pay 9"


@pytest.mark.attack(5, 6)
def test_no_content_opens_under_another_header() -> None:
    """An envelope with another memory's header, or with any bit of its own changed, is closed."""
    header = LAYOUTS["memory-header"].serialize(SAMPLES["memory-header"])
    sealed = seal("memory", KEY, header, b"content", random=os.urandom)
    for bit in range(8 * len(header)):
        with pytest.raises(OpenError):
            open_envelope("memory", KEY, flipped(header, bit), sealed)


@pytest.mark.control(6)
def test_contents_can_be_exchanged_where_nothing_binds_them() -> None:
    """Control: AES-GCM without a header opens one memory's content as another's."""
    records = [(title, weak.seal_gcm(RAW, text)) for title, text in ((b"A", b"a"), (b"B", b"b"))]
    (first, _), (_, second) = records
    assert (first, weak.open_gcm(RAW, second)) == (b"A", b"b")


# -- suites -------------------------------------------------------------------------------------


@pytest.mark.attack(12)
@pytest.mark.parametrize("suite", [suite for suite in range(256) if suite != 1])
def test_every_other_suite_is_refused(suite: int) -> None:
    """Envelopes and objects of every other suite: an error, whatever comes behind it."""
    sealed = seal("memory", KEY, b"header", b"content", random=os.urandom)
    salt, rest = sealed[1:33], sealed[65:]
    for forged in (sealed[1:], salt + rest, salt + rest[:-16], rest):
        with pytest.raises(OpenError):
            open_envelope("memory", KEY, b"header", bytes([suite]) + forged)
    for kind, sample in SAMPLES.items():
        data = LAYOUTS[kind].serialize(sample)
        at = data.index(b"\0\0\0\0\0\0\0\1\1") + 8
        with pytest.raises(UnknownSuiteError):
            LAYOUTS[kind].parse(data[:at] + bytes([suite]) + data[at + 1 :])


@pytest.mark.attack(12)
def test_a_leaf_of_another_suite_is_refused() -> None:
    """The log takes no entry of another suite either."""
    data = LAYOUTS["log-entry"].serialize(SAMPLES["log-entry"])
    at = data.index(b"\0\0\0\0\0\0\0\1\1") + 8
    with pytest.raises(UnknownSuiteError):
        parse_leaf(data[:at] + b"\0" + data[at + 1 :])


@pytest.mark.attack(12)
def test_an_envelope_without_its_commitment_is_none() -> None:
    """With the commitment taken out, or zeroed, it does not open under any first byte."""
    sealed = seal("memory", KEY, b"header", b"content", random=os.urandom)
    for forged in (sealed[:33] + sealed[65:], sealed[:33] + bytes(32) + sealed[65:]):
        for first in range(256):
            with pytest.raises(OpenError):
                open_envelope("memory", KEY, b"header", bytes([first]) + forged[1:])


@pytest.mark.control(12)
def test_a_fallback_gives_the_older_weakness() -> None:
    """Control: a client that reads an older format when told to takes altered contents."""
    sealed = weak.seal_with_choice(RAW, b"header", b"pay 1", old=False)
    assert weak.open_with_fallback(RAW, b"header", sealed) == b"pay 1"
    old = weak.seal_with_choice(RAW, b"header", b"pay 1", old=True)
    forged = flipped(old, 8 * (1 + weak.BLOCK + 4) + 3)
    assert weak.open_with_fallback(RAW, b"header", forged) == b"pay 9"


# -- what errors tell ---------------------------------------------------------------------------


@pytest.mark.control(14)
def test_an_error_that_tells_of_padding_gives_the_text_away() -> None:
    """Control: whoever learns whether CBC's padding was right reads the last bytes of a block.

    (Vaudenay: "Security Flaws Induced by CBC Padding", EUROCRYPT 2002.)
    """
    secret = b"attack at dawn!!"
    sealed = weak.seal_cbc(RAW, secret)
    vector, block = sealed[: weak.BLOCK], sealed[weak.BLOCK : 2 * weak.BLOCK]

    def padded_well(guess: bytes) -> bool:
        try:
            weak.open_cbc(RAW, guess + block)
        except ValueError:
            return False
        return True

    known = b""
    for size in range(1, weak.BLOCK + 1):
        known = _one_more(vector, known, size, padded_well) + known
    assert known == secret


def _one_more(vector: bytes, known: bytes, size: int, padded_well: Any) -> bytes:
    """The plaintext byte before the known ones, from what the errors tell."""
    tail = bytes(v ^ k ^ size for v, k in zip(vector[weak.BLOCK - size + 1 :], known, strict=True))
    for value in range(256):
        if padded_well(bytes([1] * (weak.BLOCK - size)) + bytes([value]) + tail) and (
            size > 1 or padded_well(bytes([2] * (weak.BLOCK - 1)) + bytes([value]))
        ):
            return bytes([value ^ size ^ vector[weak.BLOCK - size]])
    raise AssertionError


# -- private keys -------------------------------------------------------------------------------


def _identity() -> tuple[Keyring, AccountCard, bytes]:
    keyring = Keyring(b"a" * 16, 1, KEY)
    identity, sealed = generate_identity(keyring, random=os.urandom)
    public = (identity.signing.public, identity.sealing.public)
    return keyring, AccountCard(b"a" * 16, "ana", *public, 1), sealed


@pytest.mark.attack(15)
def test_no_altered_seeds_become_a_key() -> None:
    """Whatever bit of the sealed seeds is changed, no private key is made, so none is used."""
    keyring, card, sealed = _identity()
    with patch("coffret_vault.keyring.keyring.identity_from_seeds") as made:
        for bit in range(8 * len(sealed)):
            with pytest.raises(CredentialsError):
                open_identity(keyring, card, flipped(sealed, bit))
    assert not made.called
    assert open_identity(keyring, card, sealed).signing.public == card.signing_public


@pytest.mark.control(15)
def test_altered_seeds_become_a_key_where_nothing_is_compared() -> None:
    """Control: seeds in AES-CTR, not compared with their public key, sign with an altered key."""
    seed = os.urandom(32)
    signing = SigningKey(SecretBytes(weak.open_ctr(RAW, flipped(weak.seal_ctr(RAW, seed), 200))))
    assert signing.public != SigningKey(SecretBytes(seed)).public
    verify_signature(signing.public, b"message", signing.sign(b"message"))


# -- machines that repeat themselves ------------------------------------------------------------

_CLONES = """
import os, sys
from coffret_vault.envelope import seal
from coffret_vault.primitives.secret import SecretBytes
key = SecretBytes(b"k" * 32)
seal("memory", key, b"header", b"before the clones", random=os.urandom)
for _ in range(100):
    child = os.fork()
    if not child:
        sealed = seal("memory", key, b"header", b"text", random=os.urandom)
        os.write(1, sealed[1:65].hex().encode() + b"\\n")
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.attack(28)
def test_a_hundred_clones_of_a_process_repeat_nothing() -> None:
    """Processes forked from one state share no salt and no commitment, so no key and no nonce."""
    run = [sys.executable, "-c", _CLONES]
    lines = subprocess.run(run, capture_output=True, check=True, text=True).stdout.split()  # noqa: S603 - our own program
    assert len(lines) == len(set(lines)) == 100


@pytest.mark.control(28)
def test_clones_repeat_what_comes_from_their_own_state() -> None:
    """Control: with a generator that is cloned with the machine, key and nonce are the same."""
    clones = [random.Random(28), random.Random(28)]  # noqa: S311 - the weakness itself
    sealed = [seal("memory", KEY, b"header", b"text", random=clone.randbytes) for clone in clones]
    assert sealed[0] == sealed[1]


# -- kinds --------------------------------------------------------------------------------------


@pytest.mark.control(29)
def test_kinds_are_confused_where_the_purpose_is_in_no_key() -> None:
    """Control: were the purpose left out, a wrapped key would open as a memory's content."""
    wrapped = wrap_key("memory-key", KEY, b"header", SecretBytes(b"s" * 32), random=os.urandom)
    with pytest.raises(OpenError):
        open_envelope("memory", KEY, b"header", wrapped)
    prefix = pae("envelope/any", bytes(32))[:-32]
    with patch("coffret_vault.envelope.seal._info_prefix", return_value=prefix):
        wrapped = wrap_key("memory-key", KEY, b"header", SecretBytes(b"s" * 32), random=os.urandom)
        assert open_envelope("memory", KEY, b"header", wrapped) == b"s" * 32
        assert unwrap_key("grant-key", KEY, b"header", wrapped).reveal() == b"s" * 32


@pytest.mark.attack(30)
def test_one_text_has_one_spelling() -> None:
    """A title in another normal form, or a byte of it moved to a neighbour, does not parse."""
    layout, sample = LAYOUTS["memory-header"], SAMPLES["memory-header"]
    fields = read_pae("memory-header", len(layout.fields), layout.serialize(sample))
    title = fields[8]
    assert title.decode() == sample.title
    decomposed = unicodedata.normalize("NFD", sample.title).encode()
    assert decomposed != title
    moved = [*fields[:7], fields[7] + title[:1], title[1:], *fields[9:]]
    for changed in ([*fields[:8], decomposed, *fields[9:]], moved):
        with pytest.raises(FormatError):
            layout.parse(pae("memory-header", *changed))
    assert layout.parse(pae("memory-header", *fields)) == sample


@pytest.mark.attack(30)
@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', '[{"x":0,"x":0}]'])
def test_json_with_a_key_twice_is_refused(text: str) -> None:
    """What two readers would read differently is no request."""
    with pytest.raises(ProblemError):
        loads(text.encode())


@pytest.mark.control(30)
def test_fields_without_lengths_are_read_in_two_ways() -> None:
    """Control: joined without lengths, two different tuples are one."""
    fields, others = (b"ab", b"c"), (b"a", b"bc")
    assert b"".join(fields) == b"".join(others)
    assert pae("example", *fields) != pae("example", *others)
