"""The file of a website's apps, homepages, and typed words, by docs/spec/6-grants.md."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from typing import Any

from vectors.verifier import objects
from vectors.verifier.curves import ed25519_verify
from vectors.verifier.encoding import pae
from vectors.verifier.keys import fingerprint
from vectors.verifier.refusal import MALFORMED, Refused, require

_NOBODYS = re.compile(".*\\.(alt|arpa|example|internal|invalid|local|localhost|onion|test)")
_PRINTABLE = {chr(code) for code in range(0x21, 0x7F)}


def homepage_host(homepage: str) -> str:
    """The homepage's host; whoever has none is refused."""
    require(homepage[:8].lower() == "https://" and set(homepage) <= _PRINTABLE)
    host, mark, _ = _cut(homepage[8:])
    labels = host.lower().split(".")
    require(len(labels) >= 2 and len(host) <= 253 and mark in {"", "/", "?", "#"})
    for label in labels:
        require(re.fullmatch("[a-z0-9-]{1,63}", label) and label.strip("-") == label)
    require("a" <= labels[-1][0] <= "z")
    return host.lower()


def _cut(rest: str) -> tuple[str, str, str]:
    at = min((rest.index(mark) for mark in "/?#" if mark in rest), default=len(rest))
    return rest[:at], rest[at : at + 1], rest[at + 1 :]


def is_asked(host: str) -> bool:
    """Whether a host can be anybody's."""
    return _NOBODYS.fullmatch(host) is None


def judge(data: bytes, manifest: bytes) -> str:
    """``confirmed`` or ``differs``, by a file that is well-formed."""
    require(len(data) <= 65_536)
    apps = [(_field(app, "manifest"), _field(app, "signature")) for app in _apps(data)]
    parsed = [objects.parse("app-manifest", message) for message, _ in apps]
    for fields, (message, signature) in zip(parsed, apps, strict=True):
        public = bytes.fromhex(fields["signing_public"])
        ed25519_verify(public, pae("sign/app-manifest", message), signature)
    require(len({fields["app_id"] for fields in parsed}) == len(apps))
    return "confirmed" if manifest in [message for message, _ in apps] else "differs"


def _apps(data: bytes) -> list[Any]:
    try:
        document = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        document = None
    apps = document.get("apps") if isinstance(document, dict) else None
    if not isinstance(apps, list) or len(apps) > 16:
        raise Refused(MALFORMED)
    return apps


def _field(app: Any, name: str) -> bytes:
    value = app.get(name) if isinstance(app, dict) else None
    require(isinstance(value, str))
    try:
        data = base64.b64decode(str(value), validate=True)
    except ValueError:
        data = b""
    require(base64.b64encode(data).decode() == value)
    return data


def same_words(typed: str, keys_hash: bytes) -> bool:
    """Whether all letters of what was typed are those of the words."""
    return _letters(typed) == _letters(fingerprint(keys_hash))


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign for sign in folded if unicodedata.category(sign)[0] == "L")
