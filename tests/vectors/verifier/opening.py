"""A vault entered: docs/spec/3-keys.md, of the two answers of docs/spec/7-http.md."""

from __future__ import annotations

import re
from typing import Any

from vectors.verifier import keys, objects, wire
from vectors.verifier.curves import ed25519_public, ed25519_verify
from vectors.verifier.encoding import pae, read_id, sha256, u64
from vectors.verifier.entering import plain, unb64
from vectors.verifier.refusal import CANNOT_OPEN, MALFORMED, UNTRUSTWORTHY, require

Values = dict[str, Any]
_hex = bytes.fromhex


def _answer(text: str, *names: str) -> Values:
    found = plain(wire.json_of(text))
    require(isinstance(found, dict) and set(names) <= found.keys())
    checked: Values = found
    return checked


def _kdf(told: Any) -> bytes:
    """The ``kdf`` of a challenge, as a keyslot has it."""
    require(isinstance(told, dict) and {"algorithm", "salt", "m", "t", "p"} <= told.keys())
    salt = unb64(told["salt"], MALFORMED)
    numbers = [told[name] for name in ("m", "t", "p")]
    require(told["algorithm"] == "argon2id" and len(salt) == 16)
    require(all(type(number) is int for number in numbers))
    parts = [b"argon2id", salt, *map(u64, numbers)]
    field = u64(len(parts)) + b"".join(u64(len(part)) + part for part in parts)
    keys.check_kdf(field)
    return field


def _login(given: Values, challenge: Values) -> bytes:
    """The seed of the slot's login key."""
    account, secrets = read_id(challenge["account_id"]), given["secrets"]
    place = [given["origin"].encode(), account]
    if "recovery_code" in secrets:
        return keys.derive(_hex(secrets["recovery_code"]), "recovery-login-seed", *place)
    kdf = _kdf(challenge["kdf"])
    key = keys.stretch(secrets["passphrase"], kdf) + _hex(secrets["secret_key"])
    return keys.derive(key, "login-seed", *place, kdf)


def enter(given: Values) -> Values:
    """The account key, the generation, and whose keys they are."""
    require(re.fullmatch(r"[a-z0-9][a-z0-9._-]{2,63}", given["username"]))
    challenge = _answer(given["challenge"], "account_id", "slot_id", "nonce")
    for name in ("account_id", "slot_id"):
        require(isinstance(challenge[name], str) and read_id(challenge[name]))
    unb64(challenge["nonce"], MALFORMED)
    is_recovery = "recovery_code" in given["secrets"]
    require((challenge.get("kdf") is None) == is_recovery, UNTRUSTWORTHY)
    account = read_id(challenge["account_id"])
    public = ed25519_public(_login(given, challenge))
    told = _answer(given["account"], "account_card", "card_signature", "keyslots", "identity")
    raw, signature = (unb64(told[name], MALFORMED) for name in ("account_card", "card_signature"))
    card = objects.parse("account", raw)
    ed25519_verify(_hex(card["signing_public"]), pae("sign/account", raw), signature)
    named = card["account_id"], card["username"]
    require(named == (account.hex(), given["username"]), UNTRUSTWORTHY)
    slots = [unb64(slot, MALFORMED) for slot in told["keyslots"]]
    read = ((slot, objects.parse("keyslot", slot)) for slot in slots)
    own = next((pair for pair in read if pair[1]["login_public"] == public.hex()), None)
    require(own, CANNOT_OPEN)
    raw_slot, slot = own or (b"", {})
    key = keys.open_keyslot(raw_slot, given["origin"], account, given["secrets"])
    generation = told["identity"]["generation"]
    require(slot["generation"] == generation, UNTRUSTWORTHY)
    envelope = unb64(told["identity"]["envelope"], MALFORMED)
    keys.open_identity(key, generation, account, raw, envelope)
    publics = [_hex(card[name]) for name in ("signing_public", "sealing_public")]
    return {
        "account_id": account.hex(),
        "generation": generation,
        "keys_hash": sha256(pae("identity-keys", *publics)).hex(),
        "account_key": key.hex(),
    }
