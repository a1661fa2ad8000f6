"""Requests and the grants that answer them, from both sides."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import msgspec
import pytest

from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import BadSignatureError, FormatError, OpenError, TrustError
from coffret_vault.formats.account import AccountCard, keys_hash
from coffret_vault.formats.sharing import (
    GRANT,
    AccessRequest,
    Manifest,
    Selector,
    grant_approval,
)
from coffret_vault.grants.approve import (
    MadeGrant,
    Terms,
    check_request,
    make_grant,
    open_owner_wrap,
    verify_own_grant,
)
from coffret_vault.grants.apps import (
    Signed,
    SignedGrant,
    check_narrower,
    open_grant,
    sign_manifest,
    sign_request,
)
from coffret_vault.grants.words import fingerprint
from coffret_vault.keyring import Keyring
from coffret_vault.keyring.keyring import identity_from_seeds
from coffret_vault.primitives.secret import SecretBytes
from harness.manifests import digest_of

ACCOUNT, APP, GRANT_ID = b"a" * 16, b"p" * 16, b"g" * 16
OWNER_IDENTITY, APP_IDENTITY, OTHER = (identity_from_seeds(bytes([n]) * 64) for n in (1, 2, 3))
KEYRING = Keyring(ACCOUNT, 1, SecretBytes(b"k" * 32))
MANIFEST = Manifest(
    APP, "App", "https://a.example", APP_IDENTITY.signing.public, APP_IDENTITY.sealing.public, 1
)
CARD = AccountCard(ACCOUNT, "ana", OWNER_IDENTITY.signing.public, OWNER_IDENTITY.sealing.public, 1)
TAGS = Selector(tags=frozenset(["t"]))
REQUEST = AccessRequest(
    request_id=b"r" * 16,
    account_id=ACCOUNT,
    app_id=APP,
    manifest_digest=digest_of(MANIFEST),
    owner_keys_hash=OWNER_IDENTITY.keys_hash,
    scopes=frozenset(["read", "create"]),
    selector=TAGS,
    purpose="p",
    retention="",
    seconds=7_200,
    standing=True,
    nonce=bytes(32),
    created=10,
)
TERMS = Terms(REQUEST.scopes, TAGS, 7_200, standing=True)


def made(terms: Terms = TERMS) -> MadeGrant:
    """The owner's answer to the request."""
    asked = check_request(
        sign_request(APP_IDENTITY, REQUEST),
        sign_manifest(APP_IDENTITY, MANIFEST),
        ACCOUNT,
        OWNER_IDENTITY.keys_hash,
    )
    return make_grant(
        KEYRING, OWNER_IDENTITY, asked, terms, grant_id=GRANT_ID, now=100, random=os.urandom
    )


def test_an_app_opens_what_the_owner_made() -> None:
    """Grant and key reach the app, and the owner keeps a copy of the key."""
    answer = made()
    grant, key = open_grant(APP_IDENTITY, REQUEST, CARD, answer.signed)
    assert grant == answer.grant == verify_own_grant(CARD.signing_public, answer.signed)
    assert key == answer.key == open_owner_wrap(KEYRING, GRANT_ID, 1, answer.owner_wrap)
    assert grant.expires == 100 + 7_200 * 1_000_000
    assert (
        grant.request_digest == hashlib.sha256(sign_request(APP_IDENTITY, REQUEST).message).digest()
    )


def test_an_owner_s_wrap_opens_in_its_place_only() -> None:
    """Another grant, generation or account's key does not open it."""
    wrap = made().owner_wrap
    other = Keyring(b"b" * 16, 1, SecretBytes(b"k" * 32))
    for keyring, grant_id, generation in (
        (KEYRING, b"h" * 16, 1), (KEYRING, GRANT_ID, 2), (other, GRANT_ID, 1),
    ):  # fmt: skip
        with pytest.raises(OpenError):
            open_owner_wrap(keyring, grant_id, generation, wrap)


NARROWER: list[dict[str, Any]] = [
    {"scopes": frozenset(["read"])},
    {"seconds": 3_600},
    {"standing": False},
    {"selector": Selector(ids=frozenset([b"m" * 16]))},
]
WIDER: list[dict[str, Any]] = [
    {"scopes": frozenset(["read", "delete"])},
    {"seconds": 7_201},
    {"selector": Selector(everything=True)},
    {"selector": Selector(tags=frozenset(["t", "u"]))},
    {"selector": Selector(ids=frozenset([b"m" * 16]), tags=frozenset(["t"]))},
]


@pytest.mark.parametrize("changes", NARROWER)
def test_an_approval_may_narrow(changes: dict[str, Any]) -> None:
    """Fewer scopes, less time, no standing, or a list of memories is taken by the app."""
    answer = made(msgspec.structs.replace(TERMS, **changes))
    open_grant(APP_IDENTITY, REQUEST, CARD, answer.signed)


@pytest.mark.parametrize("changes", WIDER)
def test_an_approval_may_not_widen(changes: dict[str, Any]) -> None:
    """The owner's device does not make a grant that is wider than the request."""
    with pytest.raises(TrustError):
        made(msgspec.structs.replace(TERMS, **changes))


def test_standing_has_to_be_asked_for() -> None:
    """A grant for future memories answers only a request for them."""
    asked = msgspec.structs.replace(REQUEST, standing=False)
    with pytest.raises(TrustError):
        check_narrower(made().grant, asked)


def signed_by_owner(**changes: Any) -> SignedGrant:
    """The owner's answer with some of its fields others, signed all the same."""
    answer = made()
    message = GRANT.serialize(msgspec.structs.replace(answer.grant, **changes))
    approval = grant_approval(message, answer.signed.sealed_key)
    signature = sign_statement(OWNER_IDENTITY.signing, "grant", approval)
    return SignedGrant(message, answer.signed.sealed_key, signature)


@pytest.mark.parametrize(
    "changes",
    [
        {"account_id": b"b" * 16},
        {"app_id": b"q" * 16},
        {"request_digest": bytes(32)},
        {"manifest_digest": bytes(32)},
        {"owner_keys_hash": bytes(32)},
        {"scopes": frozenset(["read", "delete"])},
        {"expires": 10**18},
        {"selector": Selector(everything=True)},
    ],
)
def test_an_app_refuses_another_answer_than_to_its_request(changes: dict[str, Any]) -> None:
    """Even signed by the owner, a grant for something else is refused."""
    with pytest.raises(TrustError):
        open_grant(APP_IDENTITY, REQUEST, CARD, signed_by_owner(**changes))


@pytest.mark.parametrize(
    "changes", [{"grant_id": b"h" * 16}, {"auto_accept": True}, {"created": 101}]
)
def test_a_key_is_bound_to_every_field_of_its_grant(changes: dict[str, Any]) -> None:
    """The key that was sealed for one grant does not open under another that passes the checks."""
    with pytest.raises(OpenError):
        open_grant(APP_IDENTITY, REQUEST, CARD, signed_by_owner(**changes))


def test_an_app_refuses_what_the_owner_did_not_sign() -> None:
    """Another signature, another sealed key, or another owner's card is refused."""
    signed = made().signed
    card = msgspec.structs.replace(CARD, signing_public=OTHER.signing.public)
    replace = msgspec.structs.replace
    for answer, owner in (
        (replace(signed, signature=bytes(64)), CARD),
        (replace(signed, sealed_key=bytes(1168)), CARD),
        (signed, card),
    ):
        with pytest.raises(BadSignatureError):
            open_grant(APP_IDENTITY, REQUEST, owner, answer)
    with pytest.raises(FormatError):
        open_grant(APP_IDENTITY, REQUEST, CARD, replace(signed, message=b"x"))
    with pytest.raises(TrustError):
        open_grant(
            APP_IDENTITY, REQUEST, replace(CARD, sealing_public=OTHER.sealing.public), signed
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"account_id": b"b" * 16},
        {"owner_keys_hash": bytes(32)},
        {"app_id": b"q" * 16},
        {"manifest_digest": bytes(32)},
    ],
)
def test_an_owner_refuses_a_request_that_names_others(changes: dict[str, Any]) -> None:
    """A request has to be to this owner and by the app that is shown."""
    request = sign_request(APP_IDENTITY, msgspec.structs.replace(REQUEST, **changes))
    manifest = sign_manifest(APP_IDENTITY, MANIFEST)
    with pytest.raises(TrustError):
        check_request(request, manifest, ACCOUNT, OWNER_IDENTITY.keys_hash)


def test_an_owner_refuses_a_request_that_the_app_did_not_sign() -> None:
    """Request and manifest have to be signed by the keys in the manifest."""
    request, manifest = sign_request(APP_IDENTITY, REQUEST), sign_manifest(APP_IDENTITY, MANIFEST)
    for asked, shown in (
        (sign_request(OTHER, REQUEST), manifest),
        (Signed(request.message, bytes(64)), manifest),
        (request, sign_manifest(OTHER, MANIFEST)),
        (Signed(manifest.message, manifest.signature), manifest),
    ):
        with pytest.raises((BadSignatureError, FormatError)):
            check_request(asked, shown, ACCOUNT, OWNER_IDENTITY.keys_hash)


def test_fingerprints_are_eight_words_of_both_keys() -> None:
    """Fingerprints are stable, and another half of a pair of keys gives other words."""
    public = APP_IDENTITY.signing.public, APP_IDENTITY.sealing.public
    words = fingerprint(keys_hash(*public))
    assert len(words.split()) == 8
    assert fingerprint(APP_IDENTITY.keys_hash) == words
    assert fingerprint(bytes(32)) == " ".join(["abacus"] * 8)
    halves = (
        keys_hash(OTHER.signing.public, public[1]),
        keys_hash(public[0], public[1][:1184] + OTHER.sealing.public[1184:]),
        keys_hash(public[0], OTHER.sealing.public[:1184] + public[1][1184:]),
    )
    assert len({words, *map(fingerprint, halves)}) == 4
