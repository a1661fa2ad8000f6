"""No purpose comes into the product without its place in the tables of types (harness/kinds)."""

import re
from itertools import product
from pathlib import Path

import pytest

from coffret_vault.formats.layout import Layout
from coffret_vault.formats.pae import u64
from coffret_vault.keyring.keyring import Keyring
from coffret_vault.keyslots.slots import derive
from coffret_vault.primitives.secret import SecretBytes
from harness.kinds.sealed import headers, sealed
from harness.kinds.signed import KINDS, signed
from harness.kinds.stated import SERVER, stated
from harness.kinds.table import joined
from harness.purposes import ROOT, calling, purposes, purposes_of
from vectors.making.samples import LAYOUTS

_LABEL = re.compile(rb"\0{7}.coffret/v1/([a-z/-]+)\0{7}")
KEKS = "memory", "grant", "identity", "local", "given", "messages", "states"
DERIVED = (
    "login-seed",
    "unlock-key",
    "recovery-login-seed",
    "recovery-key",
    "given-key",
    "messages-key",
    "index-key",
    "secret-key-mark",
    "sign-up-key",
)
"""Keys and salts are derived for these: they are of no bytes that anybody reads."""

COMPUTING = {
    "vault/coffret_vault/envelope/seal.py",
    "vault/coffret_vault/envelope/signature.py",
    "vault/coffret_vault/envelope/wrap.py",
    "vault/coffret_vault/formats/layout.py",
    "vault/coffret_vault/formats/template.py",
    "vault/coffret_vault/keyring/keyring.py",
    "vault/coffret_vault/keyslots/slots.py",
    "server/coffret_server/signatures.py",
}
"""Files in which a purpose is handed on: those who call them say it."""

BARE = {
    "sign": {
        "sdk/coffret/flows/proof.py",
        "vault/coffret_vault/envelope/signature.py",
    },
    "hkdf": {
        "vault/coffret_vault/envelope/seal.py",
        "vault/coffret_vault/keyring/keyring.py",
        "vault/coffret_vault/keyslots/slots.py",
    },
    "aes_gcm_seal": {"vault/coffret_vault/envelope/seal.py"},
    "seal_stream": {"vault/coffret_vault/store/snapshot.py"},
    "seal_to": {
        "vault/coffret_vault/grants/approve.py",
    },
}
"""Who uses a primitive that takes bytes of no stated purpose."""


def _in_tables(folder: Path) -> set[str]:
    """The purposes of everything in the tables."""
    objects = joined(stated(), sealed(folder), signed()).objects.values()
    found = {label[1].decode() for data in objects if (label := _LABEL.match(data))}
    found |= {f"envelope/{purpose}" for purpose, _ in headers().values()}
    found |= {f"sign/{kind}" for kind in KINDS}
    return found | set(DERIVED) | {f"kek/{purpose}" for purpose in KEKS}


def test_every_purpose_of_the_code_is_in_the_tables(tmp_path: Path) -> None:
    """What the product encodes, seals, signs and derives is what is tried as every other type."""
    found, computing = purposes()
    assert found == _in_tables(tmp_path)
    assert computing == COMPUTING


def test_every_purpose_of_the_specification_is_in_the_tables(tmp_path: Path) -> None:
    """So is every PAE that docs/spec writes down."""
    spec = "".join(path.read_text() for path in sorted((ROOT / "docs/spec").glob("*.md")))
    written = set(re.findall(r'PAE\("([a-z-]+)"', spec))
    assert len(written) >= 17
    assert written <= _in_tables(tmp_path)


def test_every_layout_has_a_reader() -> None:
    """Each layout of a device and each of the server's is among what reads."""
    source = "".join(path.read_text() for path in (ROOT / "vault").rglob("*.py"))
    assert set(re.findall(r'Layout\[\w+\] = Layout\(\s*"([a-z-]+)"', source)) == set(LAYOUTS)
    assert all(isinstance(layout, Layout) for layout in LAYOUTS.values())
    wire = "".join(path.read_text() for path in (ROOT / "server").rglob("*.py"))
    assert set(re.findall(r'pae\.Layout\("([a-z-]+)"', wire)) == set(SERVER)


@pytest.mark.parametrize("primitive", sorted(BARE))
def test_primitives_are_used_where_a_purpose_is_put_in_front(primitive: str) -> None:
    """Nothing signs, derives or seals but the few functions that bind it to a purpose."""
    assert calling(frozenset((primitive,))) == BARE[primitive]


def test_a_new_purpose_does_not_go_unseen() -> None:
    """The reader of sources finds purposes of each kind, and calls that hide theirs."""
    text = 'Layout("new", X, ())\nsign_statement(key, "note", m)\nring.kek("backup")\npae(f"{x}")'
    assert purposes_of(text) == ({"new", "sign/note", "kek/backup"}, 1)


@pytest.mark.attack(29)
def test_no_two_keys_are_derived_alike() -> None:
    """Each purpose gives another key from the same secret, and each generation and account too."""
    secret, accounts, generations = SecretBytes(bytes(32)), (b"a" * 16, b"b" * 16), (1, 2)
    keys = [
        Keyring(account, generation, secret).kek(purpose).reveal()
        for account, generation, purpose in product(accounts, generations, KEKS)
    ]
    fields = accounts[0], u64(1)
    keys += [derive(secret.reveal(), purpose, *fields).reveal() for purpose in DERIVED]
    keys += [derive(secret.reveal(), f"kek/{kek}", *fields[::-1]).reveal() for kek in KEKS]
    assert len(set(keys)) == len(keys) == 28 + 9 + 7
