"""The settings of a vault, from docs/spec/5-log.md, Settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectors.verifier import objects
from vectors.verifier.refusal import UNKNOWN_SETTING, UNTRUSTWORTHY, require

if TYPE_CHECKING:
    Values = dict[str, Any]


def settings(given: Values) -> Values:
    """Which switches are on: the first, and those that may be unknown."""
    switches = bytes.fromhex(given["bytes"])
    require(len(switches) == 32)
    on = {at for at in range(256) if switches[at // 8] >> at % 8 & 1}
    require(not on & set(range(1, 128)), UNKNOWN_SETTING)
    return {"sealed": 0 in on, "others": switches[16:].hex()}


def settings_log(given: Values) -> Values:
    """What the entries of a log come to."""
    found: Values = {"version": 0, "sealed": False, "others": bytes(16).hex()}
    for raw in given["entries"]:
        entry = objects.parse("log-entry", bytes.fromhex(raw))
        if entry["kind"] != "settings":
            continue
        require(entry["version"] == found["version"] + 1, UNTRUSTWORTHY)
        found = {"version": entry["version"], **settings({"bytes": entry["digest"]})}
    return found
