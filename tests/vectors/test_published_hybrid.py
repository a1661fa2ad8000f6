"""X-Wing, HPKE, Merkle trees and signed notes give what was published for them."""

import base64
from typing import Any

import pytest

from coffret_vault.errors import OpenError
from coffret_vault.formats.checkpoint import note_key_id
from coffret_vault.log.tree import EMPTY_ROOT, Frontier
from coffret_vault.primitives.identity import SealingKey, seal_to, verify_signature
from coffret_vault.primitives.secret import SecretBytes
from vectors.published import published_json
from vectors.verifier import hpke, tree

_hex = bytes.fromhex
# draft-connolly-cfrg-xwing-kem-10, appendix C: seed, randomness of the encapsulation, shared
# secret. The secret hashes over both ciphertexts and the X25519 key, and the ML-KEM secret over
# its public key, so these three stand for the long values between them.
XWING = (
    (
        "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
        (
            "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2"
            "35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2"
        ),
        "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384",
    ),
    (
        "badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea",
        (
            "17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdef"
            "aee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d"
        ),
        "f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150",
    ),
    (
        "ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9",
        (
            "22a96188d032675c8ac850933c7aff1533b94c834adbb69c6115bad4692d8619"
            "f90b0cdf8a7b9c264029ac185b70b83f2801f2f4b3f70c593ea3aeeb613a7f1b"
        ),
        "953f7f4e8c5b5049bdc771d1dffada0dd961477d1a2ae0988baa7ea6898d893f",
    ),
)
# draft-ietf-hpke-pq: X-Wing with HKDF-SHA256 (and ChaCha20-Poly1305, which we do not use).
HPKE: list[dict[str, Any]] = [
    vector
    for vector in published_json("HPKE/hpke-pq-test-vectors.json")
    if (vector["kem_id"], vector["kdf_id"], vector["mode"]) == (0x647A, 1, 0)
]
# The eight leaves and roots with which Certificate Transparency's own tests began (RFC 6962).
CT_LEAVES = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
CT_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


@pytest.mark.parametrize(("seed", "randomness", "shared"), XWING)
def test_xwing_of_its_draft(seed: str, randomness: str, shared: str) -> None:
    """Keys from the draft's seeds reach the draft's shared secrets, and ours have the same keys."""
    public = hpke.xwing_public(_hex(seed))
    got, ciphertext = hpke.xwing_encapsulate(public, _hex(randomness))
    assert got == hpke.xwing_decapsulate(_hex(seed), ciphertext) == _hex(shared)
    assert SealingKey(SecretBytes(_hex(seed))).public == public


def test_hpke_of_its_draft() -> None:
    """Public key, shared secret, key schedule are the draft's; the core has the same public key."""
    assert len(HPKE) == 1
    for vector in HPKE:
        seed, aead = _hex(vector["skRm"]), vector["aead_id"]
        assert hpke.xwing_public(seed) == _hex(vector["pkRm"])
        assert SealingKey(SecretBytes(seed)).public == _hex(vector["pkRm"])
        shared = hpke.xwing_decapsulate(seed, _hex(vector["enc"]))
        assert shared == _hex(vector["shared_secret"])
        assert hpke.suite_id(aead) == _hex(vector["suite_id"])
        schedule = hpke.key_schedule(shared, _hex(vector["info"]), aead)
        assert [part.hex() for part in schedule] == [
            vector["key"],
            vector["base_nonce"],
            vector["exporter_secret"],
        ]


def test_what_the_core_seals_the_verifier_opens_and_the_other_way() -> None:
    """The core's HPKE is the one that agrees with the draft, in both directions."""
    seed, info, secret = bytes(range(32)), b"some info", SecretBytes(b"k" * 32)
    key = SealingKey(SecretBytes(seed))
    assert hpke.hpke_open(seed, seal_to(key.public, secret, info), info) == secret.reveal()
    sealed = hpke.hpke_seal(key.public, bytes(range(64)), secret.reveal(), info)
    assert key.open(sealed, info) == secret
    with pytest.raises(OpenError):
        key.open(sealed, info + b"!")


def test_roots_of_certificate_transparency() -> None:
    """Both trees have the published roots after each leaf."""
    frontier, leaves = Frontier(), []
    assert frontier.root() == tree.root([]) == EMPTY_ROOT
    for leaf, root in zip(CT_LEAVES, CT_ROOTS, strict=True):
        leaves.append(_hex(leaf))
        frontier.append(leaves[-1])
        assert frontier.root() == tree.root(leaves) == _hex(root)


@pytest.mark.parametrize(
    ("name", "key_id", "key"),
    [
        ("sum.golang.org", "033de0ae", "Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"),
        ("PeterNeumann", "c74f20a3", "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"),
    ],
)
def test_key_ids_of_signed_notes(name: str, key_id: str, key: str) -> None:
    """Key ids are those of keys that others published for signed notes."""
    assert note_key_id(name, base64.b64decode(key)[1:]).hex() == key_id


def test_a_signed_note_of_others_verifies() -> None:
    """The example note of the Go package ``note`` verifies over its text up to the blank line."""
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    public = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
    blob = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJ"
        "nAM="
    )
    assert blob[:4] == note_key_id("PeterNeumann", public)
    verify_signature(public, text.encode(), blob[4:])
