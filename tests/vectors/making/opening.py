"""How a device enters a vault: from a server's two answers and what its owner knows."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import msgspec

from coffret_vault.envelope.signature import sign_statement
from coffret_vault.formats.account import ACCOUNT_CARD, KEYSLOT
from coffret_vault.formats.layout import id_text
from vectors.making.book import Book, flipped, steady
from vectors.making.entering import MADE, OTHER, PASSPHRASE
from vectors.making.samples import APP_KEYS, MEMORY_ID, ORIGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

_BODY: dict[str, Any] = json.loads(MADE.body)
_THEIRS: dict[str, Any] = json.loads(OTHER.body)
_NONCE = steady("nonce of a login", 32)
_SLOTS = [KEYSLOT.parse(b64decode(raw)) for raw in _BODY["keyslots"]]


def _b64(data: bytes) -> str:
    return b64encode(data).decode()


def _challenge(kind: str = "recovery", **changes: Any) -> str:
    """What a server asks a device to sign."""
    slot = next(slot for slot in _SLOTS if slot.kind == kind)
    kdf = slot.kdf and {
        "algorithm": "argon2id",
        "salt": _b64(slot.kdf.salt),
        "m": slot.kdf.memory_kib,
        "t": slot.kdf.passes,
        "p": slot.kdf.lanes,
    }
    told = {
        "account_id": id_text(MADE.place.account_id),
        "slot_id": id_text(slot.slot_id),
        "nonce": _b64(_NONCE),
        "kdf": kdf,
        "expires_at": 1,
    }
    return json.dumps(told | changes)


def _account(**changes: Any) -> str:
    """What a server keeps of the account; a change to None leaves out."""
    kept = {name: _BODY[name] for name in ("username", "account_card", "card_signature")}
    kept |= {name: _BODY[name] for name in ("keyslots", "identity")}
    found = kept | {"account_id": id_text(MADE.place.account_id), "usage": {}} | changes
    return json.dumps({name: value for name, value in found.items() if value is not None})


def _given(**changes: Any) -> dict[str, Any]:
    return {
        "origin": ORIGIN,
        "username": "ada",
        "secrets": {"recovery_code": MADE.kit.recovery_code.reveal().hex()},
        "challenge": _challenge(),
        "account": _account(),
    } | changes


def _by_passphrase(passphrase: str = PASSPHRASE, **changes: Any) -> dict[str, Any]:
    secret_key = MADE.kit.secret_key.reveal().hex()
    secrets = {"passphrase": passphrase, "secret_key": secret_key}
    return _given(secrets=secrets, challenge=_challenge("passphrase")) | changes


def opening_book() -> Book:
    """Vaults, entered with a passphrase or a recovery code."""
    book = Book("entering", "3-keys", "A vault entered: what a server answers, held together.")
    gives = {
        "account_id": MADE.place.account_id.hex(),
        "generation": 1,
        "keys_hash": MADE.keys.identity.keys_hash.hex(),
        "account_key": MADE.keys.keyring.account_key().reveal().hex(),
    }
    book.accept("with the recovery code", "enter", _given(), **gives)
    book.accept("with the passphrase", "enter", _by_passphrase(), **gives)
    turned = _account(keyslots=_BODY["keyslots"][::-1])
    book.accept("keyslots in another order", "enter", _given(account=turned), **gives)
    more = json.dumps(json.loads(_account()) | {"mood": "good"})
    behind = _account(keyslots=[*_BODY["keyslots"], "AAAA"])
    book.accept("no keyslot behind its own", "enter", _given(account=behind), **gives)
    book.accept("fields that nobody knows", "enter", _given(account=more), **gives)
    for name, given, outcome in (*_unopened(), *_malformed(), *_untrue()):
        book.refuse(name, "enter", given, outcome)
    return book


def _unopened() -> Iterator[tuple[str, dict[str, Any], str]]:
    yield "another passphrase", _by_passphrase(PASSPHRASE + "."), "cannot-open"
    wrong = {"recovery_code": steady("another code", 32).hex()}
    yield "another recovery code", _given(secrets=wrong), "cannot-open"
    yield "another origin", _given(origin=ORIGIN + ":8443"), "cannot-open"
    strange = _challenge(account_id=id_text(MEMORY_ID))
    yield "a challenge for another account", _given(challenge=strange), "untrustworthy"
    yield (
        "another one's keyslots",
        _given(account=_account(keyslots=_THEIRS["keyslots"])),
        ("cannot-open"),
    )
    yield "no keyslots", _given(account=_account(keyslots=[])), "cannot-open"
    slot = KEYSLOT.parse(b64decode(_BODY["keyslots"][1]))
    for what, changed in (
        ("wrap", msgspec.structs.replace(slot, wrap=bytes.fromhex(flipped(slot.wrap, 112)))),
        ("generation", msgspec.structs.replace(slot, generation=2)),
    ):
        slots = [_b64(KEYSLOT.serialize(changed))]
        yield (
            f"a keyslot with another {what}",
            _given(account=_account(keyslots=slots)),
            ("cannot-open"),
        )
    identity = _BODY["identity"]
    envelope = bytes.fromhex(flipped(b64decode(identity["envelope"]), 80))
    told = _account(identity=identity | {"envelope": _b64(envelope)})
    yield "an identity that does not open", _given(account=told), "cannot-open"
    theirs = _account(identity=_THEIRS["identity"])
    yield "another one's identity", _given(account=theirs), "cannot-open"


def _malformed() -> Iterator[tuple[str, dict[str, Any], str]]:
    for name in ("account_id", "slot_id", "nonce"):
        told = {key: part for key, part in json.loads(_challenge()).items() if key != name}
        yield f"a challenge without {name}", _given(challenge=json.dumps(told)), "malformed"
    yield "a challenge that is none", _given(challenge="[]"), "malformed"
    capital = _challenge(account_id=id_text(MADE.place.account_id).upper())
    yield "an account in capitals", _given(challenge=capital), "malformed"
    yield "a nonce that is no base64", _given(challenge=_challenge(nonce="!")), "malformed"
    kdf = json.loads(_challenge("passphrase"))["kdf"]
    for name, changes, outcome in (
        ("another algorithm", {"algorithm": "argon2i"}, "malformed"),
        ("a short salt", {"salt": _b64(bytes(8))}, "malformed"),
        ("passes that are text", {"t": "3"}, "malformed"),
        ("little memory", {"m": 64}, "kdf-out-of-bounds"),
        ("one pass", {"t": 1}, "kdf-out-of-bounds"),
        ("much memory", {"m": 1 << 40}, "kdf-out-of-bounds"),
    ):
        other = _challenge("passphrase", kdf=kdf | changes)
        yield f"parameters with {name}", _by_passphrase(challenge=other), outcome
    for name in ("account_card", "card_signature", "keyslots", "identity"):
        yield f"an account without {name}", _given(account=_account(**{name: None})), "malformed"
    card = b64decode(_BODY["account_card"])
    cut = _account(account_card=_b64(card[:-1]))
    yield "a card cut short", _given(account=cut), "malformed"
    raw = b64decode(_BODY["keyslots"][0])
    slots = [_b64(raw[:-1]), *_BODY["keyslots"]]
    yield "a keyslot cut short", _given(account=_account(keyslots=slots)), "malformed"
    spelt = _BODY["card_signature"].replace("==", "")
    again = spelt[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[spelt[-1]] + "=="
    for name, text in (("in another spelling", again), ("without padding", spelt)):
        yield f"a signature {name}", _given(account=_account(card_signature=text)), "malformed"
    yield "an account that is none", _given(account="[]"), "malformed"
    yield "a username that is none", _given(username="Ada"), "malformed"


def _untrue() -> Iterator[tuple[str, dict[str, Any], str]]:
    kdf = json.loads(_challenge("passphrase"))["kdf"]
    yield "parameters for a recovery code", _given(challenge=_challenge(kdf=kdf)), "untrustworthy"
    none = _challenge("passphrase", kdf=None)
    yield "no parameters for a passphrase", _by_passphrase(challenge=none), "untrustworthy"
    yield "another username", _given(username="eve"), "untrustworthy"
    theirs = {name: _THEIRS[name] for name in ("account_card", "card_signature")}
    yield "another one's card", _given(account=_account(**theirs)), "untrustworthy"
    later = _BODY["identity"] | {"generation": 2}
    yield "another generation", _given(account=_account(identity=later)), "untrustworthy"
    card = ACCOUNT_CARD.parse(b64decode(_BODY["account_card"]))
    nobody = _account(card_signature=_b64(bytes(64)))
    yield "a card that nobody signed", _given(account=nobody), "bad-signature"
    exchanged = ACCOUNT_CARD.serialize(
        msgspec.structs.replace(
            card,
            signing_public=APP_KEYS.signing.public,
            sealing_public=APP_KEYS.sealing.public,
        )
    )
    signed = _b64(sign_statement(APP_KEYS.signing, "account", exchanged))
    told = _account(account_card=_b64(exchanged), card_signature=signed)
    yield "a card with another one's keys", _given(account=told), "cannot-open"
    weak = ACCOUNT_CARD.serialize(msgspec.structs.replace(card, signing_public=bytes(32)))
    yield "a card with a weak key", _given(account=_account(account_card=_b64(weak))), "weak-key"
