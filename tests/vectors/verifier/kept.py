"""Names of wrapping keys, and search indexes at rest (docs/spec/2-envelope.md, 4-records.md)."""

from __future__ import annotations

from typing import Any

from vectors.verifier import keys
from vectors.verifier.aes import gcm_open
from vectors.verifier.encoding import pae, sha256, u64
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
