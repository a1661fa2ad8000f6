"""How a vault begins: docs/spec/3-keys.md, Sign-up under way, and 7-http.md, Accounts."""

from __future__ import annotations

import base64
import json
from typing import Any

from vectors.verifier import keys, objects, tree, wire
from vectors.verifier.curves import check_public, ed25519_verify
from vectors.verifier.encoding import pae, sha256, u64
from vectors.verifier.msgpack import Pairs, unpack
from vectors.verifier.refusal import INVALID_INPUT, MALFORMED, UNKNOWN_SUITE, Refused, require

Values = dict[str, Any]
_hex = bytes.fromhex
_KDF = ("salt", "memory_kib", "passes", "lanes")


def _list(*parts: bytes) -> bytes:
    """A ``list`` of docs/spec/1-encoding.md."""
    return u64(len(parts)) + b"".join(u64(len(part)) + part for part in parts)


def open_sign_up(given: Values) -> Values:
    """What was kept of a sign-up, for who knows its passphrase."""
    file = unpack(_hex(given["file"]))
    require(type(file) is list and len(file) == 5)
    origin, username, account, numbers, sealed = file
    require(isinstance(origin, str) and isinstance(username, str) and isinstance(account, bytes))
    require(isinstance(sealed, bytes) and isinstance(numbers, Pairs))
    told = numbers.mapping()
    require(set(_KDF) <= told.keys() and isinstance(told["salt"], bytes))
    require(all(type(told[name]) is int for name in _KDF[1:]))
    kdf = _list(b"argon2id", told["salt"], *(u64(told[name]) for name in _KDF[1:]))
    stretched = keys.stretch(given["passphrase"], kdf)
    key = keys.derive(stretched, "sign-up-key", origin.encode(), account, kdf)
    header = pae("sign-up", origin.encode(), account, username.encode(), kdf)
    said = unpack(keys.open_envelope("sign-up", key, header, sealed))
    require(type(said) is list and len(said) == 4 and all(isinstance(p, bytes) for p in said))
    call, secret_key, recovery_code, body = said
    return {
        "origin": origin,
        "username": username,
        "account_id": account.hex(),
        "call": call.hex(),
        "secret_key": secret_key.hex(),
        "recovery_code": recovery_code.hex(),
        "body": sha256(body).hex(),
    }


_FIELDS = {"username", "account_card", "card_signature", "keyslots", "identity", "append"}


def plain(value: Any) -> Any:
    """JSON without a name twice."""
    if isinstance(value, Pairs):
        return {name: plain(item) for name, item in value.mapping().items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def unb64(value: object, outcome: str = INVALID_INPUT) -> bytes:
    """Base64 in its one spelling."""
    require(isinstance(value, str), outcome)
    try:
        data = base64.b64decode(str(value), validate=True)
    except ValueError:
        raise Refused(outcome) from None
    require(base64.b64encode(data).decode() == value, outcome)
    return data


def _shaped(text: str) -> Values:
    """A body of the control plane: JSON, and of the published shape."""
    body = plain(wire.json_of(text))
    require(isinstance(body, dict) and body.keys() == _FIELDS, INVALID_INPUT)
    identity, slots = body["identity"], body["keyslots"]
    require(isinstance(body["username"], str), INVALID_INPUT)
    require(isinstance(identity, dict), INVALID_INPUT)
    require(identity.keys() == {"generation", "envelope"}, INVALID_INPUT)
    generation = identity["generation"]
    require(type(generation) is int and generation >= 1, INVALID_INPUT)
    require(isinstance(slots, list) and 1 <= len(slots) <= 16, INVALID_INPUT)
    require(isinstance(body["append"], dict), INVALID_INPUT)
    return {
        "username": body["username"],
        "card": unb64(body["account_card"]),
        "signature": unb64(body["card_signature"]),
        "slots": [unb64(slot) for slot in slots],
        "generation": generation,
        "envelope": unb64(identity["envelope"]),
        "append": body["append"],
    }


def sign_up(given: Values) -> Values:
    """Everything that a server says of a new account by what is sent."""
    body = _shaped(given["body"])
    card = objects.parse("account", body["card"])
    public = _hex(card["signing_public"])
    check_public(public)
    ed25519_verify(public, pae("sign/account", body["card"]), body["signature"])
    require(card["username"] == body["username"], INVALID_INPUT)
    require(len(body["envelope"]) == 81 + 64, MALFORMED)
    require(body["envelope"][0] == 1, UNKNOWN_SUITE)
    slots = [objects.parse("keyslot", slot) for slot in body["slots"]]
    for slot in slots:
        check_public(_hex(slot["login_public"]))
        named = slot["account_id"], slot["generation"]
        require(named == (card["account_id"], body["generation"]), INVALID_INPUT)
    require(len({slot["slot_id"] for slot in slots}) == len(slots), INVALID_INPUT)
    place = {"account_id": card["account_id"], "public": public.hex()}
    told = wire.check_append(place | {"json": json.dumps(body["append"])})
    leaves = [unb64(leaf) for leaf in body["append"].get("leaves", [])]
    _check_begun(body, card, [objects.parse("log-entry", leaf) for leaf in leaves])
    head = objects.parse_head(body["append"]["head"])
    require(told["base"] == 0 and not any(told[n] for n in ("records", "accepts")), INVALID_INPUT)
    require(not (told["wraps"] or told["unwraps"]), INVALID_INPUT)
    require(head["root"] == tree.root(leaves).hex(), INVALID_INPUT)
    return {"account_id": card["account_id"], "username": card["username"]}


def _check_begun(body: Values, card: Values, entries: list[Values]) -> None:
    """The account, then one entry for each keyslot, and settings at most once."""
    named = [[e["kind"], e["subject"], e["version"], e["digest"]] for e in entries]
    first = ["account", card["account_id"], 1, sha256(body["card"]).hex()]
    require(named[:1] == [first], INVALID_INPUT)
    rest = [entry for entry in named[1:] if entry[0] != "settings"]
    wanted = []
    for raw in body["slots"]:
        slot = objects.parse("keyslot", raw)
        wanted.append(["keyslot", slot["slot_id"], slot["generation"], sha256(raw).hex()])
    require(sorted(rest) == sorted(wanted), INVALID_INPUT)
    settled = [entry[2] for entry in named[1:] if entry[0] == "settings"]
    require(settled in ([], [1]), INVALID_INPUT)
