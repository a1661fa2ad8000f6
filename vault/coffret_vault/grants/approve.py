"""The owner's side: check a request, and make the grant that answers it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.envelope import unwrap_key, wrap_key
from coffret_vault.envelope.signature import sign_statement, verify_statement
from coffret_vault.errors import TrustError
from coffret_vault.formats.sharing import (
    ACCESS_REQUEST,
    GRANT,
    AccessRequest,
    Grant,
    Manifest,
    Selector,
    grant_approval,
    grant_key_info,
    grant_key_wrap_header,
)
from coffret_vault.grants.apps import Signed, SignedGrant, check_narrower, verify_manifest
from coffret_vault.primitives.identity import seal_to
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import generate_key

if TYPE_CHECKING:
    from coffret_vault.keyring import Identity, Keyring
    from coffret_vault.primitives.symmetric import Random

_MICROS = 1_000_000


class CheckedRequest(msgspec.Struct, frozen=True):
    """A request with the app that signed it, both verified; parsed, and as the bytes signed."""

    request: AccessRequest
    manifest: Manifest
    request_bytes: bytes
    manifest_bytes: bytes


class Terms(msgspec.Struct, frozen=True):
    """What the owner agrees to; never more than was asked for. ``seconds`` from now."""

    scopes: frozenset[str]
    selector: Selector
    seconds: int
    standing: bool = False
    auto_accept: bool = False


class MadeGrant(msgspec.Struct, frozen=True):
    """A new grant: its statement, its key, what goes to the app and what the owner keeps."""

    grant: Grant
    key: SecretBytes
    signed: SignedGrant
    owner_wrap: bytes
    generation: int


def check_request(
    signed: Signed, signed_manifest: Signed, account_id: bytes, owner_keys_hash: bytes
) -> CheckedRequest:
    """A request to this owner, if the app whose manifest this is signed it.

    Raises:
        FormatError: one of the two is not what it should be.
        TrustError: it is to someone else, by another app, or not signed.
    """
    manifest = verify_manifest(signed_manifest)
    request = ACCESS_REQUEST.parse(signed.message)
    verify_statement(manifest.signing_public, "access-request", signed.message, signed.signature)
    digest = hashlib.sha256(signed_manifest.message).digest()
    if (request.app_id, request.manifest_digest) != (manifest.app_id, digest):
        message = "a request is by another app than the one that is shown"
        raise TrustError(message)
    if (request.account_id, request.owner_keys_hash) != (account_id, owner_keys_hash):
        message = "a request is to another owner"
        raise TrustError(message)
    return CheckedRequest(request, manifest, signed.message, signed_manifest.message)


def make_grant(
    keyring: Keyring,
    identity: Identity,
    asked: CheckedRequest,
    terms: Terms,
    *,
    grant_id: bytes,
    now: int,
    random: Random,
) -> MadeGrant:
    """Answer a request with a grant under a key of its own.

    Raises:
        TrustError: the terms are wider than the request.
        FormatError: the terms cannot be a grant, or the app's key is unfit.
    """
    grant = Grant(
        account_id=keyring.account_id,
        grant_id=grant_id,
        app_id=asked.manifest.app_id,
        request_digest=hashlib.sha256(asked.request_bytes).digest(),
        owner_keys_hash=identity.keys_hash,
        manifest_digest=asked.request.manifest_digest,
        scopes=terms.scopes,
        selector=terms.selector,
        standing=terms.standing,
        auto_accept=terms.auto_accept,
        created=now,
        expires=now + terms.seconds * _MICROS,
    )
    check_narrower(grant, asked.request)
    message = GRANT.serialize(grant)
    key = generate_key(random)
    sealed = seal_to(asked.manifest.sealing_public, key, grant_key_info(message))
    signature = sign_statement(identity.signing, "grant", grant_approval(message, sealed))
    header = grant_key_wrap_header(grant.account_id, grant_id, keyring.generation)
    wrap = wrap_key("grant-key", keyring.kek("grant"), header, key, random=random)
    signed = SignedGrant(message, sealed, signature)
    return MadeGrant(grant, key, signed, wrap, keyring.generation)


def verify_own_grant(owner_public: bytes, signed: SignedGrant) -> Grant:
    """A grant, if this owner signed it.

    Raises:
        FormatError: it is not a grant.
        TrustError: the signature does not verify.
    """
    grant = GRANT.parse(signed.message)
    approval = grant_approval(signed.message, signed.sealed_key)
    verify_statement(owner_public, "grant", approval, signed.signature)
    return grant


def open_owner_wrap(keyring: Keyring, grant_id: bytes, generation: int, wrap: bytes) -> SecretBytes:
    """The owner's copy of a grant's key.

    Raises:
        OpenError: whatever the cause.
    """
    header = grant_key_wrap_header(keyring.account_id, grant_id, generation)
    return unwrap_key("grant-key", keyring.kek("grant", generation), header, wrap)
