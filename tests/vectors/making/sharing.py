"""Signatures, HPKE and approvals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.envelope.signature import sign_statement
from coffret_vault.formats.pae import pae
from coffret_vault.formats.sharing import GRANT, grant_approval, grant_key_info
from vectors.making.book import Book, flipped, steady
from vectors.making.samples import (
    APP_KEYS,
    GRANT_SAMPLE,
    OWNER_KEYS,
    identity,
    seeds,
)
from vectors.verifier import curves
from vectors.verifier.hpke import hpke_seal

if TYPE_CHECKING:
    from collections.abc import Iterator

_P = 2**255 - 19
_ORDER8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL = (0, 1, _P - 1, _P, _P + 1, _ORDER8, _P - _ORDER8)
_L = 2**252 + 27742317777372353535851937790883648493


def signature_book() -> Book:
    """Statements, and keys under which anything would verify."""
    book = Book("signature", "1-encoding", "Ed25519 over statements; weak keys are refused.")
    message, key = steady("message", 50), OWNER_KEYS.signing
    good = {"public": key.public.hex(), "kind": "account", "message": message.hex()}
    signature = sign_statement(key, "account", message)
    signing = {"seed": seeds("owner")[:32].hex(), "kind": "account", "message": message.hex()}
    book.accept("signed", "sign", signing, signature=signature.hex())
    book.accept("verified", "verify", good | {"signature": signature.hex()})
    late = int.from_bytes(signature[32:], "little") + _L
    malleable = signature[:32] + late.to_bytes(32, "little")
    for name, changes in (
        ("of another kind", {"kind": "grant"}),
        ("of another message", {"message": ""}),
        ("by another key", {"public": APP_KEYS.signing.public.hex()}),
        ("a byte short", {"signature": signature[:-1].hex()}),
        ("empty", {"signature": ""}),
        ("zeros", {"signature": bytes(64).hex()}),
        ("S not reduced", {"signature": malleable.hex()}),
    ):
        refused = good | {"signature": signature.hex()} | changes
        book.refuse(name, "verify", refused, "bad-signature")
    for number, y in enumerate(_SMALL):
        for sign in (0, 1):
            public = (y | sign << 255).to_bytes(32, "little").hex()
            refused = good | {"signature": bytes(64).hex(), "public": public}
            book.refuse(f"weak key {number} {sign}", "verify", refused, "weak-key")
    for name, trap, nonce in _traps(key.public):
        made = curves.ed25519_sign(seeds("owner")[:32], pae("sign/account", message), nonce, trap)
        refused = good | {"signature": made.hex(), "public": trap.hex()}
        book.refuse(name, "verify", refused, "bad-signature")
    short = good | {"signature": signature.hex(), "public": key.public.hex()[:-2]}
    book.refuse("a short key", "verify", short, "weak-key")
    return book


def _traps(public: bytes) -> Iterator[tuple[str, bytes, int | None]]:
    """What libraries differ on: whoever has the seed can sign so that some of them take it."""
    torsion = curves.decode_point(_ORDER8.to_bytes(32, "little"))
    point = curves.decode_point(public)
    assert torsion is not None
    assert point is not None
    yield "R of small order", public, 0
    yield "a key with a part of small order", curves.encode_point(curves.add(point, torsion)), None


def hpke_book() -> Book:
    """Keys sealed to a public key."""
    book = Book("hpke", "2-envelope", "HPKE with X-Wing, opened. Sealed by the verifier.")
    info, plaintext = b"some info", steady("hpke plaintext", 32)
    randomness = steady("hpke randomness", 64)
    sealed = hpke_seal(APP_KEYS.sealing.public, randomness, plaintext, info)
    good = {"seed": seeds("app")[32:].hex(), "sealed": sealed.hex(), "info": info.hex()}
    book.accept("opened", "hpke-open", good, plaintext=plaintext.hex())
    empty = hpke_seal(APP_KEYS.sealing.public, randomness, b"", b"")
    nothing = good | {"sealed": empty.hex(), "info": ""}
    book.accept("nothing sealed", "hpke-open", nothing, plaintext="")
    low_order = sealed[:1088] + bytes(32) + sealed[1120:]
    for name, changes in (
        ("another key", {"seed": seeds("owner")[32:].hex()}),
        ("another info", {"info": ""}),
        ("a bit of the ML-KEM part", {"sealed": flipped(sealed, 5)}),
        ("a bit of the X25519 part", {"sealed": flipped(sealed, 1100)}),
        ("a bit of the text", {"sealed": flipped(sealed, 1121)}),
        ("a bit of the tag", {"sealed": flipped(sealed, len(sealed) - 1)}),
        ("an X25519 point of low order", {"sealed": low_order.hex()}),
        ("cut", {"sealed": sealed[:-1].hex()}),
        ("no text", {"sealed": sealed[:1120].hex()}),
        ("half an encapsulation", {"sealed": sealed[:500].hex()}),
        ("empty", {"sealed": ""}),
    ):
        book.refuse(name, "hpke-open", good | changes, "cannot-open")
    return book


def approval_book() -> Book:
    """A grant's approval, with its key sealed to the app."""
    book = Book("approval", "6-grants", "An approval: the owner's signature, and the sealed key.")
    statement, key = GRANT.serialize(GRANT_SAMPLE), steady("grant key", 32)
    randomness = steady("approval", 64)
    sealed = hpke_seal(APP_KEYS.sealing.public, randomness, key, grant_key_info(statement))
    signature = sign_statement(OWNER_KEYS.signing, "grant", grant_approval(statement, sealed))
    good = {
        "public": OWNER_KEYS.signing.public.hex(),
        "seed": seeds("app")[32:].hex(),
        "grant": statement.hex(),
        "sealed_key": sealed.hex(),
        "signature": signature.hex(),
    }
    book.accept("as usual", "approval", good, key=key.hex())
    other = hpke_seal(APP_KEYS.sealing.public, randomness, bytes(32), grant_key_info(statement))
    elsewhere = hpke_seal(APP_KEYS.sealing.public, randomness, key, grant_key_info(b""))
    resigned = sign_statement(OWNER_KEYS.signing, "grant", grant_approval(statement, elsewhere))
    for name, changes in (
        ("another sealed key", {"sealed_key": other.hex()}),
        ("another grant", {"grant": flipped(statement, -1 % len(statement))}),
        ("another owner", {"public": identity("stranger").signing.public.hex()}),
        ("a signature of another kind", {"signature": _as(statement, sealed, "access-request")}),
    ):
        book.refuse(name, "approval", good | changes, "bad-signature")
    moved = good | {"sealed_key": elsewhere.hex(), "signature": resigned.hex()}
    book.refuse("a key sealed for another grant", "approval", moved, "cannot-open")
    wrong = good | {"seed": seeds("stranger")[32:].hex()}
    book.refuse("another app", "approval", wrong, "cannot-open")
    return book


def _as(statement: bytes, sealed: bytes, kind: str) -> str:
    return sign_statement(OWNER_KEYS.signing, kind, grant_approval(statement, sealed)).hex()
