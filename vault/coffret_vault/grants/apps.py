"""An app's own side: its identity, its request, and what it checks of an approval."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.envelope.signature import sign_statement, verify_statement
from coffret_vault.errors import OpenError, TrustError
from coffret_vault.formats.account import ACCOUNT_CARD, AccountCard, keys_hash
from coffret_vault.formats.layout import write_text
from coffret_vault.formats.sharing import (
    ACCESS_REQUEST,
    GRANT,
    MANIFEST,
    AccessRequest,
    Grant,
    Manifest,
    grant_approval,
    grant_key_info,
)
from coffret_vault.keyslots.slots import derive

if TYPE_CHECKING:
    from coffret_vault.keyring import Identity
    from coffret_vault.primitives.secret import SecretBytes


class Signed(msgspec.Struct, frozen=True):
    """A statement's bytes and the signature over them."""

    message: bytes
    signature: bytes


class SignedGrant(msgspec.Struct, frozen=True):
    """A grant's bytes, its key sealed to the app, and the owner's signature over both."""

    message: bytes
    sealed_key: bytes
    signature: bytes


def sign_manifest(identity: Identity, manifest: Manifest) -> Signed:
    """The manifest, signed by the app that it describes."""
    message = MANIFEST.serialize(manifest)
    return Signed(message, sign_statement(identity.signing, "app-manifest", message))


def verify_manifest(signed: Signed) -> Manifest:
    """The manifest, if the keys in it signed it.

    Raises:
        FormatError: it is not a manifest.
        TrustError: the signature does not verify.
    """
    manifest = MANIFEST.parse(signed.message)
    verify_statement(manifest.signing_public, "app-manifest", signed.message, signed.signature)
    return manifest


def verify_account_card(signed: Signed) -> AccountCard:
    """The account card, if the keys in it signed it. Errors as :func:`verify_manifest`."""
    card = ACCOUNT_CARD.parse(signed.message)
    verify_statement(card.signing_public, "account", signed.message, signed.signature)
    return card


def sign_request(identity: Identity, request: AccessRequest) -> Signed:
    """The access request, signed by the app that asks."""
    message = ACCESS_REQUEST.serialize(request)
    return Signed(message, sign_statement(identity.signing, "access-request", message))


def messages_key(seeds: bytes, account_id: bytes, username: str) -> SecretBytes:
    """The key from which the ids of the exchanges follow that an app writes for an owner.

    For each owner another: what two of them said alike has two ids. An account id is what an
    owner's card says of itself; by the username an app knows of whom it was.

    Args:
        seeds: of the app's identity, 64 bytes.
        account_id: the owner's.
        username: the owner's, as the app asked them by it.
    """
    return derive(seeds, "messages-key", account_id, write_text(username))


def index_key(grant_key: SecretBytes, grant_id: bytes) -> SecretBytes:
    """The key for an app's search index of what a grant covers, where that is kept.

    Args:
        grant_key: from :func:`open_grant`.
        grant_id: the grant's.
    """
    return derive(grant_key.reveal(), "index-key", grant_id)


def open_grant(
    identity: Identity, request: AccessRequest, card: AccountCard, signed: SignedGrant
) -> tuple[Grant, SecretBytes]:
    """What an owner granted, after every check that an app can make.

    Args:
        identity: the app's.
        request: what the app asked for, from its own notes.
        card: the owner whom it asked.
        signed: what the server says that the owner answered.

    Returns:
        The grant and its key.

    Raises:
        FormatError: it is not a grant.
        TrustError: it is not by that owner, not for this app or request, or wider than asked.
        OpenError: the key does not open.
    """
    grant = GRANT.parse(signed.message)
    approval = grant_approval(signed.message, signed.sealed_key)
    verify_statement(card.signing_public, "grant", approval, signed.signature)
    asked = hashlib.sha256(ACCESS_REQUEST.serialize(request)).digest()
    expected = (request.account_id, request.app_id, asked, request.manifest_digest)
    if (grant.account_id, grant.app_id, grant.request_digest, grant.manifest_digest) != expected:
        message = "a grant answers another request than ours"
        raise TrustError(message)
    if grant.owner_keys_hash != keys_hash(card.signing_public, card.sealing_public):
        message = "a grant is by another owner than the one we asked"
        raise TrustError(message)
    check_narrower(grant, request)
    key = identity.sealing.open(signed.sealed_key, grant_key_info(signed.message))
    if len(key) != _GRANT_KEY:
        raise OpenError
    return grant, key


_GRANT_KEY = 32
_MICROS = 1_000_000


def check_narrower(grant: Grant, request: AccessRequest) -> None:
    """Refuse a grant that gives more than was asked for.

    Raises:
        TrustError: more scopes, for longer, standing when it was not asked for, or another
            selection than the one asked for or a list of memories.
    """
    named = msgspec.structs.replace(grant.selector, ids=frozenset())
    listed = bool(grant.selector.ids) and named == type(named)()
    if not (
        grant.scopes <= request.scopes
        and grant.standing <= request.standing
        and grant.expires <= grant.created + request.seconds * _MICROS
        and (grant.selector == request.selector or listed)
    ):
        message = "a grant is wider than the request that it answers"
        raise TrustError(message)
