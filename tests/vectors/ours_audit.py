"""Run one case about audit files through ``coffret_vault``."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from coffret_vault.errors import TrustError
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


OPERATIONS = {"audit": whole, "audit-findings": findings, "audit-compare": compared}
