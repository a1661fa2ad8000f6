"""Names of wrapping keys, search indexes at rest, what is known again (docs/spec, 2 to 4)."""

from __future__ import annotations

import hmac
import re
from typing import Any

from vectors.verifier import keys
from vectors.verifier.aes import gcm_open
from vectors.verifier.encoding import pae, read_id, sha256, u64
from vectors.verifier.refusal import CANNOT_OPEN, require
from vectors.verifier.stream import open_stream

Values = dict[str, Any]
_hex = bytes.fromhex


def read_kek(given: Values) -> Values:
    """``00`` and a generation from 1, or ``01`` and the id of a grant."""
    data = _hex(given["bytes"])
    require(data)
    if data[0] == 1:
        require(len(data) == 17)
        return {"grant_id": data[1:].hex()}
    generation = int.from_bytes(data[1:], "big")
    require(data[0] == 0 and len(data) == 9 and generation)
    return {"generation": generation}


def open_index(given: Values) -> Values:
    """``u64`` size and a stream under the KEK for local; the size is in its context."""
    account, generation, file = _hex(given["account_id"]), given["generation"], _hex(given["file"])
    require(len(file) >= 8, CANNOT_OPEN)
    size = int.from_bytes(file[:8], "big")
    key = keys.kek(_hex(given["account_key"]), "local", account, generation)
    context = pae("stream/index", account, u64(generation), u64(size))
    return {"size": size, "digest": _opened(key, context, file[8:])}


def open_grant_index(given: Values) -> Values:
    """A stream under a key that is derived from the grant's."""
    grant = _hex(given["grant_id"])
    key = keys.derive(_hex(given["grant_key"]), "index-key", grant)
    return {"digest": _opened(key, pae("stream/grant-index", grant), _hex(given["file"]))}


def _opened(key: bytes, context: bytes, sealed: bytes) -> str:
    return sha256(open_stream(key, context, sealed, "sha512", gcm_open)).hex()


def mark(given: Values) -> Values:
    """The mark of a Secret Key (docs/spec/3-keys.md, Key change)."""
    fields = given["origin"].encode(), _hex(given["account_id"])
    return {"mark": keys.derive(_hex(given["secret_key"]), "secret-key-mark", *fields).hex()}


def app_messages_key(given: Values) -> Values:
    """From both of an app's seeds, for one account under one username."""
    fields = _hex(given["account_id"]), given["username"].encode()
    return {"key": keys.derive(_hex(given["seeds"]), "messages-key", *fields).hex()}


def exchange_ids(given: Values) -> Values:
    """A chain of MACs over arrays of texts, of each the first 16 bytes as a UUIDv8."""
    key = _hex(given["key"])
    token = hmac.digest(key, _texts(given["session"], given["agent"], given["user"]), "sha256")
    ids = []
    for role, sender, text in given["messages"]:
        token = hmac.digest(key, token + _texts(role, sender, text), "sha256")
        number = int.from_bytes(token[:16], "big")
        number = number & ~(0xF << 76) | 8 << 76
        number = number & ~(3 << 62) | 2 << 62
        ids.append(number.to_bytes(16, "big").hex())
    return {"ids": ids}


def _texts(*texts: str) -> bytes:
    """An array of three texts in MessagePack's shortest form."""
    out = bytes([0x90 | len(texts)])
    for text in texts:
        data = text.encode()
        if len(data) < 32:
            out += bytes([0xA0 | len(data)])
        else:
            width = 1 if len(data) < 1 << 8 else 2 if len(data) < 1 << 16 else 4
            out += {1: b"\xd9", 2: b"\xda", 4: b"\xdb"}[width] + len(data).to_bytes(width, "big")
        out += data
    return out


_KIT = {
    "origin": "Server",
    "username": "Username",
    "account_id": "Account",
    "secret_key": "Secret Key",
    "recovery_code": "Recovery code",
}


def kit(given: Values) -> Values:
    """Five lines, each a label, two or more spaces or tabs, and a value without spaces."""
    found: Values = {}
    for line in given["page"].split("\n"):
        parts = [part for part in re.split(r"[ \t]{2,}", line.strip(" \t"), maxsplit=1) if part]
        for name, label in _KIT.items():
            if len(parts) == 2 and parts[0] == label and not re.search(r"\s", parts[1]):
                found.setdefault(name, parts[1])
    require(found.keys() == _KIT.keys())
    return found | {"account_id": read_id(found["account_id"]).hex()}
