"""Statements and heads, signed and verified."""

import msgspec
import pytest

from coffret_vault.envelope.signature import (
    sign_head,
    sign_statement,
    verify_head,
    verify_statement,
)
from coffret_vault.errors import BadSignatureError, TrustError, WeakKeyError
from coffret_vault.formats.checkpoint import NO_HEAD, Head, join_note, note_key_id, parse_head
from coffret_vault.formats.pae import pae
from vectors.making.samples import ACCOUNT_ID, APP_KEYS, OWNER_KEYS

OWNER, APP = OWNER_KEYS.signing, APP_KEYS.signing
HEAD = Head(ACCOUNT_ID, 3, b"r" * 32, NO_HEAD, 5)


def test_a_statement_is_signed_under_its_kind() -> None:
    """The signature is over the PAE of kind and message, not over the message."""
    signature = sign_statement(OWNER, "login", b"message")
    assert signature == OWNER.sign(pae("sign/login", b"message"))
    verify_statement(OWNER.public, "login", b"message", signature)
    with pytest.raises(BadSignatureError):
        verify_statement(OWNER.public, "login", b"message", OWNER.sign(b"message"))


def test_a_head_verifies_under_the_owners_key_alone() -> None:
    """The owner's head gives the head; an app's is refused."""
    assert verify_head(OWNER.public, parse_head(sign_head(OWNER, HEAD))) == HEAD
    with pytest.raises(BadSignatureError):
        verify_head(OWNER.public, parse_head(sign_head(APP, HEAD)))


def test_the_key_id_is_a_hint_and_no_proof() -> None:
    """With the owner's key id and another's signature a head does not verify."""
    forged = join_note(HEAD, OWNER.public, APP.sign(parse_head(sign_head(APP, HEAD)).text))
    assert parse_head(forged).key_id == note_key_id(forged.partition("\n")[0], OWNER.public)
    with pytest.raises(BadSignatureError):
        verify_head(OWNER.public, parse_head(forged))


def test_a_signature_of_one_head_is_none_of_another() -> None:
    """Size, root, the head before, time and account are all signed."""
    signature = parse_head(sign_head(OWNER, HEAD)).signature
    changes: dict[str, object] = {
        "account_id": bytes(16),
        "size": 4,
        "root": bytes(32),
        "prev": b"p" * 32,
        "time": 6,
    }
    for name, value in changes.items():
        other = msgspec.structs.replace(HEAD, **{name: value})
        with pytest.raises(BadSignatureError):
            verify_head(OWNER.public, parse_head(join_note(other, OWNER.public, signature)))


def test_a_statement_is_never_taken_for_a_head() -> None:
    """A statement's signature over a head's text does not make a signed head, nor the reverse."""
    text = parse_head(sign_head(OWNER, HEAD)).text
    stated = join_note(HEAD, OWNER.public, sign_statement(OWNER, "grant", text))
    with pytest.raises(BadSignatureError):
        verify_head(OWNER.public, parse_head(stated))
    with pytest.raises(BadSignatureError):
        verify_statement(OWNER.public, "grant", text, OWNER.sign(text))


def test_a_weak_key_verifies_no_head() -> None:
    """Under a key of small order nothing is believed, whatever its key id says."""
    weak = (1).to_bytes(32, "little")
    note = join_note(HEAD, weak, weak + bytes(32))
    with pytest.raises(WeakKeyError):
        verify_head(weak, parse_head(note))


def test_faults_of_trust_are_one_family() -> None:
    """Who catches TrustError catches a bad signature and a weak key."""
    assert issubclass(BadSignatureError, TrustError)
    assert issubclass(WeakKeyError, TrustError)
