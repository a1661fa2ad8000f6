"""Public keys that are traps: every place where a foreign key enters, on devices and on the server.

For a signing key of small order signatures can be made without any private key. For an X25519 point
of low order the shared secret is known before it is agreed on.
"""

from __future__ import annotations

import base64
import os
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from coffret import register_developer
from coffret.flows.http import b64
from coffret_vault.envelope.signature import verify_head, verify_statement
from coffret_vault.errors import FormatError, InputError, OpenError, WeakKeyError
from coffret_vault.formats.account import ACCOUNT_CARD, KEYSLOT, keys_hash
from coffret_vault.formats.checkpoint import NO_HEAD, Head, head_text, join_note, parse_head
from coffret_vault.formats.pae import pae
from coffret_vault.formats.sharing import ACCESS_REQUEST, MANIFEST
from coffret_vault.grants.apps import Signed, sign_manifest, verify_account_card, verify_manifest
from coffret_vault.grants.words import fingerprint
from coffret_vault.primitives.identity import SealingKey, seal_to
from coffret_vault.primitives.secret import SecretBytes
from harness.manifests import digest_of
from harness.network import BASE, Evil, updating
from harness.world import ask
from vectors.verifier import curves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret import App
    from harness.world import World

P = 2**255 - 19
ORDER8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL = tuple(
    (y | sign << 255).to_bytes(32, "little")
    for y in (0, 1, P - 1, P, P + 1, ORDER8, P - ORDER8)
    for sign in (0, 1)
)
"""The seven y-coordinates of small order, with either sign bit."""
LOW_U = 325606250916557431795983626356110631294008115727848805560023387167927233504
HIGH_U = 39382357235489614581723060781553021112529911719440698176882885853963445705823
LOW_POINTS = tuple(u.to_bytes(32, "little") for u in (0, 1, LOW_U, HIGH_U, P - 1, P, P + 1))
"""Every u-coordinate of low order on Curve25519 and its twist (RFC 7748, section 7)."""


def forged(public: bytes, message: bytes) -> bytes | None:
    """A signature that OpenSSL takes for this key, made without a private one.

    With S = 0 it is enough that R is the right multiple of the key, and there are eight of them.
    """
    for commitment in SMALL:
        signature = commitment + bytes(32)
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except (InvalidSignature, ValueError):
            continue
        return signature
    return None


def signed(public: bytes, kind: str, message: bytes) -> bytes:
    """As good a forgery as there is for a statement."""
    return forged(public, pae(f"sign/{kind}", message)) or bytes(64)


class Trap:
    """An app whose manifest names a weak key, as its registration and its request show it."""

    def __init__(self, app: App, request_id: str, public: bytes) -> None:
        """The request is the app's, under the weak key."""
        self.manifest = msgspec.structs.replace(app._state.manifest, signing_public=public)
        self.message = MANIFEST.serialize(self.manifest)
        self.signature = signed(public, "app-manifest", self.message)
        asked = msgspec.structs.replace(
            app._state.asked(request_id).parse(),
            manifest_digest=digest_of(self.manifest),
        )
        request = ACCESS_REQUEST.serialize(asked)
        self.shown = {
            "manifest": b64(self.message),
            "manifest_signature": b64(self.signature),
            "request": b64(request),
            "signature": b64(signed(public, "access-request", request)),
        }


def _first(changed: dict[str, str], answer: list[Any]) -> None:
    answer[0].update(changed)


@pytest.mark.attack(41)
def test_an_owner_is_not_shown_an_app_with_a_weak_key(world: World) -> None:
    """Of all 14 encodings none passes as an app's key, when it asks or when it is looked up."""
    evil = Evil()
    owner, app = world.owner(transport=evil), world.app()
    request_id = ask(app, owner)
    for public in SMALL:
        shown = Trap(app, request_id, public).shown
        evil.rewrite["/access-requests"] = partial(_first, shown)
        evil.rewrite[f"/access-requests/{request_id}"] = updating(shown)
        with pytest.raises(WeakKeyError):
            owner.vault.requests()
        with pytest.raises(WeakKeyError):
            owner.vault.approve(request_id)
    assert list(owner.vault.grants()) == []


@pytest.mark.attack(41)
def test_an_app_does_not_ask_an_owner_with_a_weak_key(world: World) -> None:
    """A card with a weak key, self-signed as far as that goes, is not the owner's."""
    evil = Evil()
    owner, app = world.owner(), world.app(transport=evil)
    card = owner.vault._state.card
    for public in SMALL:
        message = ACCOUNT_CARD.serialize(msgspec.structs.replace(card, signing_public=public))
        signature = signed(public, "account", message)
        evil.rewrite[f"/accounts/by-username/{owner.username}"] = updating(
            {"account_card": b64(message), "card_signature": b64(signature)}
        )
        with pytest.raises(WeakKeyError):
            ask(app, owner)
    assert app.requests() == []


@pytest.mark.attack(41)
def test_no_head_and_no_statement_verifies_under_a_weak_key() -> None:
    """Heads, grants, entries and logins are refused under each of the keys."""
    head = Head(os.urandom(16), 1, bytes(32), NO_HEAD, 1)
    text = head_text(head)
    for public in SMALL:
        note = join_note(head, public, forged(public, text) or bytes(64))
        with pytest.raises(WeakKeyError):
            verify_head(public, parse_head(note))
        for kind in ("grant", "login", "app-entry", "access-request", "app-manifest", "account"):
            with pytest.raises(WeakKeyError):
                verify_statement(public, kind, b"message", signed(public, kind, b"message"))


def registration(app: App, public: bytes) -> tuple[str, dict[str, Any]]:
    """An app under a weak key."""
    manifest = msgspec.structs.replace(
        app._state.manifest, app_id=os.urandom(16), signing_public=public
    )
    message = MANIFEST.serialize(manifest)
    signature = signed(public, "app-manifest", message)
    return "/apps", {"manifest": b64(message), "signature": b64(signature)}


@pytest.mark.attack(41)
def test_a_server_registers_no_weak_key(world: World) -> None:
    """An honest server refuses an app's manifest and an owner's account under such a key."""
    app = world.app()
    key = register_developer(world.url, "Dev", "dev@example.org")
    network = Creating()
    world.owner(transport=network)
    for public in SMALL:
        for path, body in (registration(app, public), *network.with_key(public)):
            answer = httpx.post(
                world.url + BASE + path, json=body, headers={"Authorization": f"Bearer {key}"}
            )
            assert (answer.status_code, answer.json()["code"]) == (422, "weak-key"), path


class Creating(Evil):
    """Keeps the body that made an account."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()
        self.body: dict[str, Any] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on."""
        if request.url.path == f"{BASE}/accounts":
            self.body = msgspec.json.decode(request.content)
        return super().handle_request(request)

    def with_key(self, public: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """The same account with a weak signing key, and with a weak login key."""
        card = ACCOUNT_CARD.parse(base64.b64decode(self.body["account_card"]))
        message = ACCOUNT_CARD.serialize(msgspec.structs.replace(card, signing_public=public))
        changed = {
            "account_card": b64(message),
            "card_signature": b64(signed(public, "account", message)),
        }
        yield "/accounts", {**self.body, **changed}
        slots = [self._slot(base64.b64decode(slot), public) for slot in self.body["keyslots"]]
        yield "/accounts", {**self.body, "keyslots": slots}

    @staticmethod
    def _slot(slot: bytes, public: bytes) -> str:
        weak = msgspec.structs.replace(KEYSLOT.parse(slot), login_public=public)
        return b64(KEYSLOT.serialize(weak))


def _as_openssl(public: bytes, message: bytes, signature: bytes) -> None:
    Ed25519PublicKey.from_public_bytes(public).verify(signature, message)


@pytest.mark.control(41)
def test_where_weak_keys_are_let_through_a_forgery_passes(world: World) -> None:
    """Control: a client that verifies as OpenSSL does takes what nobody made: for the key 1 any."""
    app, owner = world.app(), world.owner()
    request_id = ask(app, owner)
    card = owner.vault._state.card
    passed = set()
    with patch("coffret_vault.envelope.signature.verify_signature", _as_openssl):
        for public in SMALL:
            trap = Trap(app, request_id, public)
            if any(trap.signature):
                verify_manifest(Signed(trap.message, trap.signature))
                message = ACCOUNT_CARD.serialize(
                    msgspec.structs.replace(card, signing_public=public)
                )
                signature = signed(public, "account", message)
                if any(signature):
                    verify_account_card(Signed(message, signature))
                    passed.add(public)
    assert (1).to_bytes(32, "little") in passed


# -- keys to seal to ----------------------------------------------------------------------------


def bad_sealing_keys(good: bytes) -> dict[str, bytes]:
    """Keys that force a secret, or that are none; each of the right length but for the last."""
    found = {
        f"point {n}.{sign}": good[:1184] + bytes([*point[:31], point[31] | sign << 7])
        for n, point in enumerate(LOW_POINTS)
        for sign in (0, 1)
    }
    modulus = (3329).to_bytes(2, "little")
    found |= {
        "coefficients not reduced": b"\xff" * 1184 + good[1184:],
        "one coefficient is q": bytes([modulus[0], modulus[1] | good[1] & 0xF0]) + good[2:],
        "no key at all": bytes(1184) + bytes(32),
        "the halves exchanged": good[1184:] + good[:1184],
        "short": good[:-1],
    }
    return found


@pytest.mark.attack(42)
def test_nothing_is_sealed_to_a_key_that_forces_its_secret(world: World) -> None:
    """An app that registers such a key is granted nothing: no decision goes out, no key with it."""
    evil = Evil()
    owner, app = world.owner(transport=evil), world.app()
    request_id = ask(app, owner)
    identity = app._state.identity
    owner.vault.remember("secret")
    for name, public in bad_sealing_keys(identity.sealing.public).items():
        if len(public) != len(identity.sealing.public):
            with pytest.raises(FormatError):
                seal_to(public, SecretBytes(bytes(32)), b"")
            continue
        shown = with_sealing_key(app, request_id, public)
        evil.rewrite["/access-requests"] = partial(_first, shown)
        evil.rewrite[f"/access-requests/{request_id}"] = updating(shown)
        owner.vault.requests()
        evil.requests.clear()
        words = fingerprint(keys_hash(identity.signing.public, public))  # it really shows these
        with pytest.raises(InputError):
            owner.vault.approve(request_id, words=words)
        assert not any(path.endswith(("/decision", "/wraps")) for path in evil.paths), name
    assert list(owner.vault.grants()) == []


def with_sealing_key(app: App, request_id: str, public: bytes) -> dict[str, str]:
    """The request of an app that really signs for this key."""
    signing = app._state.identity.signing
    manifest = msgspec.structs.replace(app._state.manifest, sealing_public=public)
    shown = sign_manifest(app._state.identity, manifest)
    asked = msgspec.structs.replace(
        app._state.asked(request_id).parse(), manifest_digest=digest_of(manifest)
    )
    request = ACCESS_REQUEST.serialize(asked)
    return {
        "manifest": b64(shown.message),
        "manifest_signature": b64(shown.signature),
        "request": b64(request),
        "signature": b64(signing.sign(pae("sign/access-request", request))),
    }


@pytest.mark.attack(42)
def test_a_sealed_key_with_a_low_order_share_does_not_open() -> None:
    """A server that puts such a point where the sender's share belongs gets an error."""
    mine = SealingKey(SecretBytes(os.urandom(32)))
    sealed = seal_to(mine.public, SecretBytes(os.urandom(32)), b"info")
    for point in LOW_POINTS:
        with pytest.raises(OpenError):
            mine.open(sealed[:1088] + point + sealed[1120:], b"info")
    assert len(mine.open(sealed, b"info")) == 32


@pytest.mark.control(42)
def test_a_plain_ladder_gives_everybody_the_same_secret() -> None:
    """Control: X25519 without the check agrees on nothing but zeros with each of these points."""
    for point in LOW_POINTS:
        assert {curves.x25519(os.urandom(32), point) for _ in range(3)} == {bytes(32)}
