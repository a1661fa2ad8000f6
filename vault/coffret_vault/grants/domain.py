"""The file in which an app's own domain names its apps. docs/spec/6-grants.md."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.errors import FormatError
from coffret_vault.grants.apps import Signed, verify_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coffret_vault.formats.sharing import Manifest

WELL_KNOWN = "/.well-known/coffret-app.json"
MAX_DOCUMENT = 64 << 10
"""Bytes of such a file; a longer one is not read."""

_MOST_APPS = 16
_MOST_HOST = 253
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOMEPAGE = re.compile(
    rf"https://((?:{_LABEL}\.)+(?=[a-z]){_LABEL})(?:[/?#][!-~]*)?", re.IGNORECASE | re.ASCII
)
_NOWHERE = frozenset(
    ("alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test")
)
"""Last labels that name nothing on the internet (RFC 6761, 6762, 7686, 9476; ICANN's internal)."""


class _Entry(msgspec.Struct, frozen=True):
    manifest: str
    signature: str


class _Document(msgspec.Struct, frozen=True):
    apps: list[_Entry]


_decode = msgspec.json.Decoder(_Document).decode


def homepage_host(homepage: str) -> str | None:
    """The host name of an app's homepage, in lower case.

    None unless it is ``https://``, a host name of at least two labels in ASCII, no user and no
    port, and then nothing or a path: what could be taken for another host is none.
    """
    found = _HOMEPAGE.fullmatch(homepage)
    return found[1].lower() if found and len(found[1]) <= _MOST_HOST else None


def is_on_the_internet(host: str) -> bool:
    """Whether a host name can belong to anybody at all: some endings are nobody's by decree."""
    return host.rpartition(".")[2] not in _NOWHERE


def app_document(apps: Iterable[Signed]) -> bytes:
    """The file that names these apps.

    Raises:
        FormatError: one of them is no signed manifest, two have one id, or they are too many.
        TrustError: a signature does not verify.
    """
    entries = [
        _Entry(b64encode(app.message).decode(), b64encode(app.signature).decode()) for app in apps
    ]
    data = msgspec.json.format(msgspec.json.encode(_Document(entries)), indent=2) + b"\n"
    read_app_document(data)
    return data


def read_app_document(data: bytes) -> tuple[tuple[Signed, Manifest], ...]:
    """The apps that a domain names, each with its own signature verified.

    Raises:
        FormatError: it is not such a file: too long, another shape, too many or repeated apps.
        TrustError: a manifest in it is not signed by the keys in it.
    """
    if len(data) > MAX_DOCUMENT:
        message = "the file of a domain's apps is too long"
        raise FormatError(message)
    try:
        entries = _decode(data).apps
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = "that is not a file of a domain's apps"
        raise FormatError(message) from None
    if len(entries) > _MOST_APPS:
        message = f"a domain names at most {_MOST_APPS} apps"
        raise FormatError(message)
    signed = [Signed(_bytes(entry.manifest), _bytes(entry.signature)) for entry in entries]
    named = tuple((item, verify_manifest(item)) for item in signed)
    if len({manifest.app_id for _, manifest in named}) != len(named):
        message = "a domain names an app twice"
        raise FormatError(message)
    return named


def _bytes(text: str) -> bytes:
    """Standard base64 with padding, in its one spelling."""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if b64encode(data).decode() != text:
        message = "that is not base64"
        raise FormatError(message)
    return data
