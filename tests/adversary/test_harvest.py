"""Kept today, to be opened when a curve can be broken: everything sealed to a key is hybrid."""

from __future__ import annotations

import ast
import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from coffret_vault.errors import OpenError
from coffret_vault.formats.sharing import SEALED_KEY_SIZE, grant_key_info
from coffret_vault.primitives.identity import SealingKey
from coffret_vault.primitives.secret import SecretBytes
from harness.network import Recorder

if TYPE_CHECKING:
    from harness.world import World

ROOT = Path(__file__).parents[2]
MLKEM_CIPHERTEXT, X25519_SHARE, GRANT_KEY, TAG = 1088, 32, 32, 16


def grants_in(network: Recorder) -> list[dict[str, bytes]]:
    """Every grant that went over this network."""
    found = []
    for request in network.requests:
        if request.url.path.endswith("/decision"):
            grant = msgspec.json.decode(request.content)["grant"]
            found.append({name: base64.b64decode(grant[name]) for name in ("grant", "sealed_key")})
    return found


class Broken(SealingKey):
    """An app's key as somebody has it who can compute the X25519 half, and not the other."""

    def __init__(self, seed: bytes, kem: MLKEM768PrivateKey) -> None:
        """Take the real X25519 key, and another's ML-KEM key."""
        super().__init__(SecretBytes(seed))
        expanded = hashlib.shake_256(seed).digest(96)
        curve = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._key = MLKEM768X25519PrivateKey(kem, curve)


@pytest.mark.attack(63)
def test_every_grant_is_sealed_to_a_hybrid_key(world: World) -> None:
    """Each sealed key has an ML-KEM ciphertext and an X25519 share, and opens with both only."""
    network = Recorder()
    owner, app = world.owner(transport=network), world.app()
    owner.vault.remember("secret")
    for _ in range(3):
        world.granted(owner, app)
    grants = grants_in(network)
    assert len(grants) == 3
    assert MLKEM_CIPHERTEXT + X25519_SHARE + GRANT_KEY + TAG == SEALED_KEY_SIZE
    real = app._state.identity.sealing
    seed = app._state.file.seeds[32:]
    broken = Broken(seed, MLKEM768PrivateKey.from_seed_bytes(os.urandom(64)))
    assert broken.public == real.public
    for grant in grants:
        assert len(grant["sealed_key"]) == SEALED_KEY_SIZE
        info = grant_key_info(grant["grant"])
        assert len(real.open(grant["sealed_key"], info)) == GRANT_KEY
        with pytest.raises(OpenError):
            broken.open(grant["sealed_key"], info)


@pytest.mark.attack(63)
def test_no_code_names_another_way_to_seal() -> None:
    """The one suite is X-Wing, HKDF-SHA256 and AES-256-GCM; no other is named anywhere."""
    named = set()
    for path in [*(ROOT / "vault").rglob("*.py"), *(ROOT / "sdk").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                named.add((node.value.id, node.attr))
    assert {name for name in named if name[0] in {"KEM", "KDF", "AEAD"}} == {
        ("KEM", "MLKEM768_X25519"),
        ("KDF", "HKDF_SHA256"),
        ("AEAD", "AES_256_GCM"),
    }


@pytest.mark.control(63)
def test_what_is_sealed_to_a_curve_alone_opens_for_who_breaks_it() -> None:
    """Control: with X25519 only, the private key that was computed later opens what was kept."""
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    key = X25519PrivateKey.generate()
    kept = suite.encrypt(b"k" * 32, key.public_key(), b"info")
    computed = X25519PrivateKey.from_private_bytes(key.private_bytes_raw())
    assert suite.decrypt(kept, computed, b"info") == b"k" * 32
