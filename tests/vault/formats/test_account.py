"""Usernames, origins and keyslots."""

import msgspec
import pytest

from coffret_vault.errors import FormatError, InputError
from coffret_vault.formats.account import (
    KDF,
    KEYSLOT,
    PASSPHRASE,
    RECOVERY,
    account_key_wrap_header,
    check_username,
    keys_hash,
    normal_origin,
)
from vectors.making.samples import KEYSLOT_SAMPLE, ORIGIN


@pytest.mark.parametrize("username", ["abc", "0.-_", "a" * 64, "ada.lovelace"])
def test_usernames(username: str) -> None:
    """A username is 3 to 64 of a few characters."""
    assert check_username(username) == username


@pytest.mark.parametrize(
    "username", ["", "ab", "a" * 65, "Ada", ".ab", "-ab", "a b c", "ad\u00e0", "abc\n", "a/bc"]
)
def test_what_is_no_username(username: str) -> None:
    """Anything else is refused, a newline at the end too."""
    with pytest.raises(InputError):
        check_username(username)


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://vault.example", "https://vault.example"),
        ("https://vault.example/", "https://vault.example"),
        (" HTTPS://Vault.EXAMPLE:443 ", "https://vault.example"),
        ("http://vault.example:80", "http://vault.example"),
        ("https://vault.example:80", "https://vault.example:80"),
        ("http://127.0.0.1:8300", "http://127.0.0.1:8300"),
        ("http://[::1]:8300/", "http://[::1]:8300"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_has_one_form(address: str, origin: str) -> None:
    """However an address is written, it is one origin, and an origin is its own."""
    assert normal_origin(address) == origin
    assert normal_origin(origin) == origin


@pytest.mark.parametrize(
    "address",
    [
        "",
        "vault.example",
        "ftp://vault.example",
        "https://",
        "https://vault.example/path",
        "https://vault.example?query",
        "https://vault.example#fragment",
        "https://ada@vault.example",
        "https://ada:secret@vault.example",
        "https://vault.example:port",
        "https://vault.example:99999",
        "https://vault example",
        "https://vault.example\\@other.example",
        "https://b\u00fccher.example",
        "https://[::1",
        "https://v\u00e0ult.example",
    ],
)
def test_what_is_no_origin(address: str) -> None:
    """What could be read in two ways, or is more than an origin, is refused."""
    with pytest.raises(InputError):
        normal_origin(address)


def test_a_slot_has_the_parameters_of_its_kind() -> None:
    """A passphrase slot has KDF parameters, a recovery slot has none."""
    for kind, kdf in ((PASSPHRASE, None), (RECOVERY, KEYSLOT_SAMPLE.kdf)):
        with pytest.raises(FormatError):
            KEYSLOT.serialize(msgspec.structs.replace(KEYSLOT_SAMPLE, kind=kind, kdf=kdf))


def test_no_parameters_are_the_empty_list() -> None:
    """Where there is no passphrase the field is the empty list."""
    assert KDF.encode(None) == bytes(8)
    assert KDF.decode(bytes(8)) is None


def test_the_wrap_header_binds_everything_but_wrap_and_time() -> None:
    """A slot whose fields changed has another header, so its wrap does not open."""
    header = account_key_wrap_header(KEYSLOT_SAMPLE, ORIGIN)
    assert account_key_wrap_header(KEYSLOT_SAMPLE, ORIGIN + ":1") != header
    changes = {
        "account_id": bytes(16),
        "slot_id": bytes(16),
        "generation": 2,
        "kdf": None,
        "kind": RECOVERY,
        "login_public": bytes(32),
    }
    for name, value in changes.items():
        changed = msgspec.structs.replace(KEYSLOT_SAMPLE, **{name: value})
        assert account_key_wrap_header(changed, ORIGIN) != header
    for name, value in {"wrap": bytes(113), "created": 0}.items():
        changed = msgspec.structs.replace(KEYSLOT_SAMPLE, **{name: value})
        assert account_key_wrap_header(changed, ORIGIN) == header


def test_the_hash_of_an_identity_binds_both_keys() -> None:
    """Either half of an identity swapped gives another hash."""
    one, other = (b"1" * 32, b"2" * 1216), (b"3" * 32, b"4" * 1216)
    hashes = {
        keys_hash(signing, sealing)
        for signing in (one[0], other[0])
        for sealing in (one[1], other[1])
    }
    assert len(hashes) == 4
