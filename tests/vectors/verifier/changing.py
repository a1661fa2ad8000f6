"""What a device sends to change its keys: docs/spec/7-http.md, Accounts, and 3-keys.md."""

from __future__ import annotations

import json
from typing import Any

from vectors.verifier import objects, wire
from vectors.verifier.curves import check_public, ed25519_verify
from vectors.verifier.encoding import pae, read_id, sha256
from vectors.verifier.entering import plain, unb64
from vectors.verifier.msgpack import unpack
from vectors.verifier.refusal import INVALID_INPUT, MALFORMED, UNKNOWN_SUITE, Refused, require

Values = dict[str, Any]
_hex = bytes.fromhex
_REWRAPS = {"wraps": (("id", "count", "binary"), 5_000)}


def check_rewraps(given: Values) -> Values:
    """Memory keys wrapped anew, which wait for a change."""
    form = wire.Form(given, _REWRAPS)
    require(form.body.keys() == {"change_id", "wraps"})
    change = form.id(form.body["change_id"])
    return {"change_id": change.hex(), "wraps": _wraps(form)}


def check_wraps(given: Values) -> Values:
    """Memory keys that a grant is given."""
    form = wire.Form(given, _REWRAPS)
    require(form.body.keys() == {"wraps"})
    return {"wraps": _wraps(form)}


def _wraps(form: wire.Form) -> list[Any]:
    found = form.many("wraps")
    for *_, wrap in found:
        wire.check_wrap(wrap)
    return [[memory.hex(), number] for memory, number, _ in found]


def memory_keys(given: Values) -> Values:
    """A page of memory keys as they are wrapped for the owner."""
    page = unpack(_hex(given["bytes"]))
    require(type(page) is list and len(page) >= 2)
    following, items = page[:2]
    is_place = type(following) is int and 0 <= following < 1 << 63
    require((following is None or is_place) and type(items) is list)
    for item in items:
        require(type(item) is list and len(item) == 4 and type(item[1]) is int)
        require(all(isinstance(part, bytes) for part in (item[0], *item[2:])))
    return {"next": following, "keys": [[p if type(p) is int else p.hex() for p in item]
                                        for item in items]}  # fmt: skip


_BYTES = ("account_card", "card_signature", "succession", "succession_signature")
_FIELDS = {*_BYTES, "change_id", "keyslots", "identity", "grants", "append"}


def _dict(value: object, names: set[str]) -> Values:
    require(isinstance(value, dict), INVALID_INPUT)
    found: Values = value  # type: ignore[assignment]
    require(found.keys() == names, INVALID_INPUT)
    return found


def _id(value: object) -> bytes:
    require(isinstance(value, str), INVALID_INPUT)
    try:
        return read_id(str(value))
    except Refused:
        raise Refused(INVALID_INPUT) from None


def _shaped(text: str) -> Values:
    """The body: JSON, and of the published shape."""
    body = _dict(plain(wire.json_of(text)), _FIELDS)
    identity, slots = _dict(body["identity"], {"generation", "envelope"}), body["keyslots"]
    generation = identity["generation"]
    require(type(generation) is int and generation >= 1, INVALID_INPUT)
    require(isinstance(slots, list) and 1 <= len(slots) <= 16, INVALID_INPUT)
    require(isinstance(body["grants"], list), INVALID_INPUT)
    grants = [_dict(item, {"grant_id", "owner_wrap"}) for item in body["grants"]]
    require(isinstance(body["append"], dict), INVALID_INPUT)
    return {
        **{name: unb64(body[name]) for name in _BYTES},
        "change_id": _id(body["change_id"]),
        "keyslots": [unb64(slot) for slot in slots],
        "generation": generation,
        "envelope": unb64(identity["envelope"]),
        "grants": [(_id(item["grant_id"]), unb64(item["owner_wrap"])) for item in grants],
        "append": body["append"],
    }


def key_change(given: Values) -> Values:
    """A change of keys, by what is sent and what the account was before."""
    body = _shaped(given["body"])
    before, card = (objects.parse("account", raw) for raw in _cards(given, body))
    public = _hex(card["signing_public"])
    check_public(public)
    ed25519_verify(public, pae("sign/account", body["account_card"]), body["card_signature"])
    require(len(body["envelope"]) == 81 + 64, MALFORMED)
    require(body["envelope"][0] == 1, UNKNOWN_SUITE)
    account, generation = before["account_id"], body["generation"]
    slots = [objects.parse("keyslot", slot) for slot in body["keyslots"]]
    for slot in slots:
        check_public(_hex(slot["login_public"]))
        require((slot["account_id"], slot["generation"]) == (account, generation), INVALID_INPUT)
    require(len({slot["slot_id"] for slot in slots}) == len(slots), INVALID_INPUT)
    place = {"account_id": account, "public": public.hex()}
    told = wire.check_append(place | {"json": json.dumps(body["append"])})
    same = (card["account_id"], card["username"]) == (account, before["username"])
    require(same and card["signing_public"] != before["signing_public"], INVALID_INPUT)
    _check_succession(given, body, account, _hex(before["signing_public"]))
    for _, wrap in body["grants"]:
        wire.check_wrap(wrap)
    entries = [objects.parse("log-entry", unb64(leaf)) for leaf in body["append"]["leaves"]]
    named = sorted([e["kind"], e["subject"], e["version"], e["digest"]] for e in entries)
    require(named == sorted(_expected(given, body, account)), INVALID_INPUT)
    require(not any(told[name] for name in ("records", "accepts", "wraps")), INVALID_INPUT)
    ended = [item["grant_id"] for item in given["grants"] if not item["revoked"]]
    hashed = sha256(body["account_card"]).hex()
    return {"generation": generation, "card": hashed, "ended": ended}


def _cards(given: Values, body: Values) -> tuple[bytes, bytes]:
    return _hex(given["card"]), body["account_card"]


def _check_succession(given: Values, body: Values, account: str, public: bytes) -> None:
    """The keys before say what follows them."""
    step = objects.parse("succession", body["succession"])
    hashes = (*map(sha256, _cards(given, body)), sha256(body["envelope"]))
    told = step["before"], step["after"], step["identity"]
    require(told == tuple(map(bytes.hex, hashes)), INVALID_INPUT)
    wanted = account, given["generation"] + 1, given["generation"] + 1
    require((step["account_id"], step["generation"], body["generation"]) == wanted, INVALID_INPUT)
    message = pae("sign/succession", body["succession"])
    ed25519_verify(public, message, body["succession_signature"])


def _expected(given: Values, body: Values, account: str) -> list[list[Any]]:
    """The entries of the change: the rotation, all keyslots new, all grants over."""
    slots = body["keyslots"], [_hex(slot) for slot in given["keyslots"]]
    named = [[_slot("keyslot", raw) for raw in slots[0]],
             [_slot("keyslot-remove", raw) for raw in slots[1]]]  # fmt: skip
    stay = {entry[1] for entry in named[0]} & {entry[1] for entry in named[1]}
    require(not stay, INVALID_INPUT)
    rotation = ["rotate", account, body["generation"], sha256(body["succession"]).hex()]
    ended = [
        ["revoke", item["grant_id"], item["changes"] + 1, sha256(_hex(item["statement"])).hex()]
        for item in given["grants"]
        if not item["revoked"]
    ]
    return [rotation, *named[0], *named[1], *ended]


def _slot(kind: str, raw: bytes) -> list[Any]:
    slot = objects.parse("keyslot", raw)
    return [kind, slot["slot_id"], slot["generation"], sha256(raw).hex()]
