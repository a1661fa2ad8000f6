"""Run one case about audit files through ``coffret_vault``."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from io import BytesIO
from typing import Any

import msgspec

from coffret_vault.errors import TrustError
from coffret_vault.formats.pae import u64
from coffret_vault.formats.sharing import GRANT, MANIFEST
from coffret_vault.log.audit import lines_of
from coffret_vault.log.auditing import Audit, audit
from coffret_vault.log.comparing import compare_logs

Values = dict[str, Any]


def _audited(text: str) -> Audit:
    return audit(lines_of(BytesIO(text.encode())))


def whole(given: Values) -> Values:
    """What a log says that is whole."""
    found = _audited(given["file"])
    if not found.is_whole:
        raise TrustError
    head = found.preamble.head.head
    return {
        "account_id": head.account_id.hex(),
        "size": head.size,
        "entries": found.counted,
        "times": list(found.times or ()),
    }


def findings(given: Values) -> Values:
    """What is wrong with a log."""
    found = _audited(given["file"])
    return {"findings": [[item.what, item.entry] for item in found.findings]}


def compared(given: Values) -> Values:
    """How a log stands to what was kept of it."""
    found = compare_logs(_audited(given["file"]), _audited(given["kept"]))
    differences = [[item.what, item.entry, item.at] for item in found.differences]
    return {"relation": found.relation, "differences": differences}


def keyed(given: Values) -> Values:
    """A log in a file with as many grants to one app, each with another key in its manifest."""
    lines = given["file"].splitlines(keepends=True)
    at = next(at for at, line in enumerate(lines) if line.startswith("grant "))
    statement, manifest = map(b64decode, lines[at].split()[1:])
    grant, app = GRANT.parse(statement), MANIFEST.parse(manifest)
    told = []
    for number in range(given["keys"]):
        key = sha256(u64(number)).digest()
        raw = MANIFEST.serialize(msgspec.structs.replace(app, signing_public=key))
        named = msgspec.structs.replace(grant, manifest_digest=sha256(raw).digest())
        both = (b64encode(part).decode() for part in (GRANT.serialize(named), raw))
        told.append(f"grant {' '.join(both)}\n")
    return whole({"file": "".join([*lines[:at], *told, *lines[at + 1 :]])})


OPERATIONS = {
    "audit": whole,
    "audit-keys": keyed,
    "audit-findings": findings,
    "audit-compare": compared,
}
