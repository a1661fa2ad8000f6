"""The file in which a domain names its apps, and which host a homepage is at."""

from __future__ import annotations

import json

import msgspec
import pytest

from coffret_vault.errors import FormatError, TrustError
from coffret_vault.formats.sharing import Manifest
from coffret_vault.grants.apps import Signed, sign_manifest
from coffret_vault.grants.domain import (
    MAX_DOCUMENT,
    app_document,
    homepage_host,
    is_on_the_internet,
    read_app_document,
)
from coffret_vault.keyring.keyring import identity_from_seeds

IDENTITY = identity_from_seeds(b"\x05" * 64)
MANIFEST = Manifest(
    b"p" * 16, "App", "https://a.example", IDENTITY.signing.public, IDENTITY.sealing.public, 1
)


def named(number: int) -> Signed:
    """One of several apps under the same keys."""
    return sign_manifest(
        IDENTITY, msgspec.structs.replace(MANIFEST, app_id=number.to_bytes(16, "big"))
    )


def test_a_domain_names_several_apps() -> None:
    """What is written is read back: every app, in order, each with its manifest."""
    apps = [named(number) for number in range(16)]
    read = read_app_document(app_document(apps))
    assert [signed for signed, _ in read] == apps
    assert [manifest.app_id[-1] for _, manifest in read] == list(range(16))
    assert read_app_document(app_document([])) == ()


def test_fields_of_later_versions_are_ignored() -> None:
    """A file may say more than this version knows."""
    document = json.loads(app_document([named(1)]))
    document["more"] = 1
    document["apps"][0]["more"] = 1
    assert len(read_app_document(json.dumps(document).encode())) == 1


def test_other_files_are_refused() -> None:
    """Other shapes, bad base64, repeated apps, too many and too long are no such file."""
    entry = json.loads(app_document([named(1)]))["apps"][0]
    loose = entry["manifest"].rstrip("=") + "\n"
    for wrong in (
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"apps": {}}',
        json.dumps({"apps": [{**entry, "manifest": loose}]}).encode(),
        json.dumps({"apps": [{**entry, "manifest": "\u00e9"}]}).encode(),
        json.dumps({"apps": [{"manifest": entry["manifest"]}]}).encode(),
        json.dumps({"apps": [entry, entry]}).encode(),
        json.dumps({"apps": [entry] * 17}).encode(),
        app_document([named(1)]) + b" " * MAX_DOCUMENT,
    ):
        with pytest.raises(FormatError):
            read_app_document(wrong)
    with pytest.raises(FormatError):
        app_document([named(number) for number in range(17)])


def test_an_app_that_is_not_signed_makes_the_file_untrue() -> None:
    """A manifest under another signature is a TrustError, on both sides."""
    wrong = Signed(named(1).message, named(2).signature)
    entry = {"manifest": _b64(wrong.message), "signature": _b64(wrong.signature)}
    with pytest.raises(TrustError):
        read_app_document(json.dumps({"apps": [entry]}).encode())
    with pytest.raises(TrustError):
        app_document([wrong])


def _b64(data: bytes) -> str:
    return json.loads(msgspec.json.encode(data))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("homepage", "host"),
    [
        ("https://a.example", "a.example"),
        ("https://A.Example/", "a.example"),
        ("HTTPS://a.b-c.example/path?x=1#y", "a.b-c.example"),
        ("https://xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("https://127.0.0.1.nip.example", "127.0.0.1.nip.example"),
    ],
)
def test_a_homepage_is_at_a_host(homepage: str, host: str) -> None:
    """A name in ASCII behind https, whatever the path."""
    assert homepage_host(homepage) == host


@pytest.mark.parametrize(
    "homepage",
    [
        "",
        "http://a.example",
        "a.example",
        "https://",
        "https://localhost",
        "https://127.0.0.1",
        "https://0x7f.1",
        "https://2130706433",
        "https://[::1]",
        "https://a.example:8443",
        "https://a.example.",
        "https://user@a.example",
        "https://a.example\\@b.example",
        "https://a.example@b.example",
        "https://a..example",
        "https://-a.example",
        "https://a_b.example",
        "https://m\u00fcnchen.example",
        "https://\u017fafe.example",
        "https://\u212aafe.example",
        "https://a.example /",
        "https://a.example/\n",
        "https://a.example/\u202e",
        " https://a.example",
        f"https://{'a.' * 130}example",
        f"https://{'a' * 64}.example",
    ],
)
def test_what_could_be_another_host_is_none(homepage: str) -> None:
    """Addresses, ports, users, single labels, letters outside ASCII and tricks name no host."""
    assert homepage_host(homepage) is None


@pytest.mark.parametrize(
    ("host", "there"),
    [("a.com", True), ("a.example.com", True), ("a.example", False), ("printer.local", False),
     ("a.test", False), ("x.home.arpa", False), ("x.onion", False), ("db.internal", False)],
)  # fmt: skip
def test_some_names_are_nobodys(host: str, there: bool) -> None:  # noqa: FBT001 - a column
    """Endings that are reserved are never asked for."""
    assert is_on_the_internet(host) is there
