"""Signed statements and notes. docs/spec/1-encoding.md, "Hashes, signatures"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.errors import BadSignatureError
from coffret_vault.formats.checkpoint import head_name, head_text, make_note, note_key_id
from coffret_vault.formats.pae import pae
from coffret_vault.primitives.identity import verify_signature
from coffret_vault.primitives.symmetric import same

if TYPE_CHECKING:
    from coffret_vault.formats.checkpoint import Head, SignedHead
    from coffret_vault.primitives.identity import SigningKey


def sign_statement(key: SigningKey, kind: str, message: bytes) -> bytes:
    """A signature of this kind over a statement's bytes; it verifies as no other kind."""
    return key.sign(pae(f"sign/{kind}", message))


def verify_statement(public: bytes, kind: str, message: bytes, signature: bytes) -> None:
    """Verify a statement's signature.

    Raises:
        BadSignatureError: it does not verify.
        WeakKeyError: the key is one for which any message would.
    """
    verify_signature(public, pae(f"sign/{kind}", message), signature)


def signed_head(key: SigningKey, head: Head) -> SignedHead:
    """The head as a signed note. Its text begins with a letter, a PAE with a zero byte."""
    text = head_text(head)
    return make_note(head, text, key.public, key.sign(text))


def sign_head(key: SigningKey, head: Head) -> str:
    """The same as the text that is stored and sent."""
    return signed_head(key, head).note


def verify_head(public: bytes, signed: SignedHead) -> Head:
    """The head of a note whose signature verifies.

    Raises:
        BadSignatureError: it is by another key, or does not verify.
        WeakKeyError: the key is one for which any text would.
    """
    if not same(signed.key_id, note_key_id(head_name(signed.head.account_id), public)):
        message = "a head names another key than the owner's"
        raise BadSignatureError(message)
    verify_signature(public, signed.text, signed.signature)
    return signed.head
