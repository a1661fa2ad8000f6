"""The owner's cards in turn, from docs/spec/3-keys.md, Succession."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectors.verifier import objects
from vectors.verifier.curves import ed25519_verify
from vectors.verifier.encoding import pae, sha256
from vectors.verifier.refusal import UNTRUSTWORTHY, Refused, require

if TYPE_CHECKING:
    Values = dict[str, Any]


def lineage(given: Values) -> Values:
    """The earlier cards, each with the index of the entry that ended it."""
    steps, rotations = given["steps"], given["rotations"]
    cards = [*(bytes.fromhex(step["card"]) for step in steps), bytes.fromhex(given["card"])]
    begun = objects.parse("log-entry", bytes.fromhex(given["account"]))
    require(len(steps) == len(rotations), UNTRUSTWORTHY)
    require(begun["digest"] == sha256(cards[0]).hex(), UNTRUSTWORTHY)
    for at, (step, rotation) in enumerate(zip(steps, rotations, strict=True)):
        entry = objects.parse("log-entry", bytes.fromhex(rotation["entry"]))
        _check(entry, step, cards[at], cards[at + 1])
    return {
        "reigns": [
            {"until": rotation["index"], "card": step["card"]}
            for step, rotation in zip(steps, rotations, strict=True)
        ]
    }


def _check(entry: Values, step: Values, before: bytes, after: bytes) -> None:
    raw = bytes.fromhex(step["succession"])
    try:
        told, card = objects.parse("succession", raw), objects.parse("account", before)
    except Refused:
        raise Refused(UNTRUSTWORTHY) from None
    require(sha256(raw).hex() == entry["digest"], UNTRUSTWORTHY)
    require(told["account_id"] == entry["account_id"], UNTRUSTWORTHY)
    require(told["generation"] == entry["version"], UNTRUSTWORTHY)
    require(told["before"] == sha256(before).hex(), UNTRUSTWORTHY)
    require(told["after"] == sha256(after).hex(), UNTRUSTWORTHY)
    signature = bytes.fromhex(step["signature"])
    ed25519_verify(bytes.fromhex(card["signing_public"]), pae("sign/succession", raw), signature)
