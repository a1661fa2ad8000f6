"""What is signed, each by the one key: who signs it, what over, and who verifies it."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import partial

import msgspec

from coffret.flows.http import Request
from coffret.flows.proof import Prover
from coffret.flows.state import Ambient
from coffret_server.proofs import Proofs, Shown
from coffret_server.signatures import Verifier
from coffret_vault.envelope.signature import sign_statement, verify_head, verify_statement
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.sharing import grant_approval
from coffret_vault.grants.approve import check_request, verify_own_grant
from coffret_vault.grants.apps import (
    Signed,
    SignedGrant,
    sign_manifest,
    verify_account_card,
    verify_manifest,
)
from harness.kinds.stated import encoded, head_note
from harness.kinds.table import MANIFEST, ONE, Table, reader
from vectors.making.samples import ACCOUNT_ID, ORIGIN, UPDATED

_ADDRESS = f"{ORIGIN}/api/v1/sync"
KINDS = (
    "account",
    "login",
    "app-entry",
    "app-manifest",
    "access-request",
    "grant",
    "succession",
    "account-deletion",
)


def statements() -> dict[str, bytes]:
    """What a signature of each kind is over."""
    messages = {kind: encoded(kind) for kind in KINDS if kind not in {"app-entry", "grant"}}
    messages["app-entry"] = encoded("log-entry")
    messages["grant"] = grant_approval(encoded("grant"), _SEALED)
    return messages


_SEALED = bytes(1168)


def _whole(kind: str, message: bytes, signature: bytes) -> object:
    """Verify with the function that the product verifies this kind with, where it has its own."""
    signed = Signed(message, signature)
    if kind == "account":
        return verify_account_card(signed)
    if kind == "app-manifest":
        return verify_manifest(signed)
    if kind == "access-request":
        return check_request(signed, sign_manifest(ONE, MANIFEST), ACCOUNT_ID, ONE.keys_hash)
    if kind == "grant":
        return verify_own_grant(
            ONE.signing.public, SignedGrant(encoded("grant"), _SEALED, signature)
        )
    verify_statement(ONE.signing.public, kind, message, signature)
    return None


def _serve(kind: str, message: bytes, signature: bytes) -> None:
    Verifier(ONE.signing.public).verify_kind(kind, signature, message)


def _head(signature: bytes) -> object:
    signed = msgspec.structs.replace(parse_head(head_note()), signature=signature)
    return verify_head(ONE.signing.public, signed)


def proof() -> bytes:
    """A proof of possession, as a device sends it."""
    ambient = Ambient(now=lambda: UPDATED)
    request = Request("GET", "/sync", token="cfs_token")
    return Prover(ONE.signing, ambient).prove(request, _ADDRESS, b"").encode()


def check_proof(data: bytes) -> None:
    """Verify a proof as the server does."""
    shown = Shown(b"DPoP cfs_token", data, "GET", "/api/v1/sync", b"", b"")
    proofs = Proofs((ORIGIN,), bytes(32), lambda: UPDATED)
    proofs.check(shown, "cfs_token", Verifier(ONE.signing.public))


def signed() -> Table:
    """A signature of each kind over its own statement, and what verifies it over that."""
    objects: dict[str, bytes] = {"proof": proof()}
    readers = {"proof": reader(check_proof, "proof")}
    for kind, message in statements().items():
        name = f"signature: {kind}"
        objects[name] = sign_statement(ONE.signing, kind, message)
        readers[name] = reader(partial(_whole, kind, message), name)
        readers[f"server: {name}"] = reader(partial(_serve, kind, message), name)
    head, _, last = proof().rpartition(b".")
    objects["signature: head"] = parse_head(head_note()).signature
    readers["signature: head"] = reader(_head, "signature: head")
    objects["signature: proof"] = urlsafe_b64decode(last + b"==")
    readers["signature: proof"] = reader(
        lambda data: check_proof(head + b"." + urlsafe_b64encode(data).rstrip(b"=")),
        "signature: proof",
    )
    return Table(objects, readers)
