"""A change of keys: the wraps that wait for it, the page they come from, and the change itself."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec

from coffret.flows.append import Append
from coffret.flows.http import encode_json, encode_msgpack
from coffret.flows.keychange import _body
from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.account import ACCOUNT_CARD, KEYSLOT
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.checkpoint import Head
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.sharing import GRANT
from coffret_vault.formats.succession import SUCCESSION
from vectors.making.book import Book, steady
from vectors.making.samples import (
    ACCOUNT_ID,
    APP_KEYS,
    CARD,
    GRANT_ID,
    GRANT_SAMPLE,
    KEYSLOT_SAMPLE,
    MEMORY_ID,
    OWNER_KEYS,
    SUCCESSION_SAMPLE,
    UPDATED,
    identifier,
    identity,
)
from vectors.making.wire import RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret_vault.formats.account import AccountCard, Keyslot
    from coffret_vault.keyring import Identity

_NEXT = identity("owner after")
_CHANGE = identifier("change")
_OVER = identifier("grant that is over")
_BASE = 40
_WRAP = b"\1" + steady("rewrap", 112)
_replace = msgspec.structs.replace


# -- wraps ----------------------------------------------------------------------------------------

_WRAPS = [(MEMORY_ID, 1, _WRAP), (identifier("second memory"), (1 << 63) - 1, _WRAP)]


def _rewraps(book: Book) -> None:
    for name, more in (("check-rewraps", {"change_id": _CHANGE}), ("check-wraps", {})):
        good: dict[str, Any] = more | {"wraps": _WRAPS}
        shown = [[memory.hex(), number] for memory, number, _ in _WRAPS]
        gives: dict[str, Any] = {"change_id": _CHANGE.hex()} if more else {}
        text = json.dumps(_as_json(good))
        turned = dict(reversed(good.items()))
        for what, given in (
            ("two keys", {"bytes": encode_msgpack(good).hex()}),
            ("in another order", {"bytes": encode_msgpack(turned).hex()}),
            ("as JSON", {"json": text}),
        ):
            book.accept(what, name, given, **gives, wraps=shown)
        none = {"bytes": encode_msgpack(good | {"wraps": []}).hex()}
        book.accept("no keys", name, none, **gives, wraps=[])
        for what, body, outcome in _wrong_wraps(good):
            data = body if isinstance(body, bytes) else encode_msgpack(body)
            book.refuse(what, name, {"bytes": data.hex()}, outcome)
        upper = text.replace(id_text(MEMORY_ID), id_text(MEMORY_ID).upper())
        for what, said in (
            ("nothing as JSON", ""),
            ("a field twice in JSON", text[:-1] + ', "wraps": []}'),
            ("an id in capitals", upper),
            ("an id in base64", text.replace(id_text(MEMORY_ID), b64encode(MEMORY_ID).decode())),
        ):
            book.refuse(what, name, {"json": said}, "malformed")


def _as_json(body: dict[str, Any]) -> dict[str, Any]:
    wraps = [[id_text(m), number, b64encode(wrap).decode()] for m, number, wrap in body["wraps"]]
    change = {"change_id": id_text(body["change_id"])} if "change_id" in body else {}
    return {**change, "wraps": wraps}


def _wrong_wraps(good: dict[str, Any]) -> Iterator[tuple[str, object, str]]:
    data = encode_msgpack(good)
    for name, wrong in (
        ("nothing", b""),
        ("a byte short", data[:-1]),
        ("a byte long", data + b"\0"),
        ("a list in a longer form", data.replace(b"wraps\x92", b"wraps\xdc\0\x02")),
        ("an array", encode_msgpack(list(good.values()))),
        ("another field", good | {"session": b""}),
    ):
        yield name, wrong, "malformed"
    for name in good:
        left = {key: value for key, value in good.items() if key != name}
        yield f"without {name}", left, "malformed"
        yield f"nil for {name}", good | {name: None}, "malformed"
    if "change_id" in good:
        yield "a change's id of 15 bytes", good | {"change_id": _CHANGE[1:]}, "malformed"
        yield "a change's id that is text", good | {"change_id": id_text(_CHANGE)}, "malformed"
    memory, number, wrap = _WRAPS[0]
    for name, item, outcome in (
        ("two parts", (memory, number), "malformed"),
        ("four parts", (memory, number, b"", wrap), "malformed"),
        ("an id of 17 bytes", (memory + b"\0", number, wrap), "malformed"),
        ("an id that is text", (id_text(memory), number, wrap), "malformed"),
        ("key number 0", (memory, 0, wrap), "malformed"),
        ("key number 2^63", (memory, 1 << 63, wrap), "malformed"),
        ("a key number that is true", (memory, True, wrap), "malformed"),
        ("a wrap that is text", (memory, number, "wrap"), "malformed"),
        ("a wrap of 112 bytes", (memory, number, wrap[:-1]), "malformed"),
        ("a wrap of 114 bytes", (memory, number, wrap + b"\0"), "malformed"),
        ("a wrap of another suite", (memory, number, b"\2" + wrap[1:]), "unknown-suite"),
    ):
        yield f"an item of {name}", good | {"wraps": [_WRAPS[1], item]}, outcome
    yield "5,001 keys", good | {"wraps": [(b"", 0, b"")] * 5_001}, "too-large"


def _pages(book: Book) -> None:
    key = [MEMORY_ID, 1, RECORD.kek, RECORD.wrap]
    shown = [part.hex() if isinstance(part, bytes) else part for part in key]
    for name, page, gives in (
        ("the last", [None, [key]], {"next": None, "keys": [shown]}),
        ("more to come", [7, [key, key]], {"next": 7, "keys": [shown, shown]}),
        ("none here", [7, []], {"next": 7, "keys": []}),
        ("more behind its last part", [None, [], 1], {"next": None, "keys": []}),
    ):
        book.accept(name, "memory-keys", {"bytes": encode_msgpack(page).hex()}, **gives)
    for name, wrong in (
        ("one part", [None]),
        ("a map", {"next": None, "keys": []}),
        ("a place that is text", ["7", []]),
        ("a place of 2^63", [1 << 63, []]),
        ("a place below 0", [-1, []]),
        ("keys that are nil", [None, None]),
        ("a key of three parts", [None, [key[:3]]]),
        ("a key of five parts", [None, [[*key, b""]]]),
        ("a key's number that is text", [None, [[MEMORY_ID, "1", *key[2:]]]]),
        ("a key's wrap that is nil", [None, [[*key[:3], None]]]),
    ):
        data = encode_msgpack(wrong).hex()
        book.refuse(f"a page: {name}", "memory-keys", {"bytes": data}, "malformed")


# -- the change -----------------------------------------------------------------------------------

_SLOT_BEFORE = KEYSLOT.serialize(KEYSLOT_SAMPLE)
_CARD_BEFORE = ACCOUNT_CARD.serialize(CARD)
_STATEMENT = GRANT.serialize(GRANT_SAMPLE)
_STATEMENT_OVER = GRANT.serialize(_replace(GRANT_SAMPLE, grant_id=_OVER))
_AFTER = _replace(
    CARD, signing_public=_NEXT.signing.public, sealing_public=_NEXT.sealing.public, created=UPDATED
)
_ENVELOPE = b"\1" + steady("identity after", 144)
_GIVEN: dict[str, Any] = {
    "card": _CARD_BEFORE.hex(),
    "generation": 1,
    "keyslots": [_SLOT_BEFORE.hex()],
    "grants": [
        {"grant_id": GRANT_ID.hex(), "statement": _STATEMENT.hex(), "changes": 1, "revoked": False},
        {"grant_id": _OVER.hex(), "statement": _STATEMENT_OVER.hex(), "changes": 2,
         "revoked": True},
    ],
}  # fmt: skip


def _slot(label: str, **changes: Any) -> Keyslot:
    values = {"slot_id": identifier(label), "generation": 2, "created": UPDATED}
    return _replace(KEYSLOT_SAMPLE, **(values | changes))


_SLOTS = (_slot("passphrase after"), _slot("code after", kind="recovery", kdf=None))


def _entry(kind: str, subject: bytes, version: int, of: bytes) -> bytes:
    digest = sha256(of).digest()
    return ENTRY.serialize(Entry(ACCOUNT_ID, kind, subject, version, digest, OWNER, UPDATED))


def _leaves(succession: bytes, slots: tuple[Keyslot, ...]) -> list[bytes]:
    """The entries of the change."""
    return [
        _entry(kinds.ROTATE, ACCOUNT_ID, 2, succession),
        *(_entry(kinds.KEYSLOT, s.slot_id, s.generation, KEYSLOT.serialize(s)) for s in slots),
        _entry(kinds.KEYSLOT_REMOVE, KEYSLOT_SAMPLE.slot_id, 1, _SLOT_BEFORE),
        _entry(kinds.REVOKE, GRANT_ID, 2, _STATEMENT),
    ]


def _change(
    card: AccountCard = _AFTER,
    slots: tuple[Keyslot, ...] = _SLOTS,
    leaves: list[bytes] | None = None,
    keys: tuple[Identity, Identity] = (OWNER_KEYS, _NEXT),
    envelope: bytes = _ENVELOPE,
    generation: int = 2,
    **step: Any,
) -> dict[str, Any]:
    """A change, signed throughout by what it says, as its body's JSON."""
    raw = ACCOUNT_CARD.serialize(card)
    hashes = {"before": _CARD_BEFORE, "after": raw, "identity": envelope}
    told: dict[str, Any] = {name: sha256(data).digest() for name, data in hashes.items()}
    succession = SUCCESSION.serialize(_replace(SUCCESSION_SAMPLE, **(told | step)))
    entries = _leaves(succession, slots) if leaves is None else leaves
    roots = steady("root after", 32), steady("the head before", 32)
    head = Head(ACCOUNT_ID, _BASE + len(entries), *roots, UPDATED)
    made: Any = SimpleNamespace(
        change_id=_CHANGE,
        account=SimpleNamespace(
            card=raw,
            card_signature=sign_statement(keys[1].signing, "account", raw),
            keyslots=tuple(map(KEYSLOT.serialize, slots)),
            generation=generation,
            identity=envelope,
        ),
        succession=succession,
        signature=sign_statement(keys[0].signing, "succession", succession),
    )
    rows: Any = [
        SimpleNamespace(statement=lambda grant=grant: grant, owner_wrap=_WRAP)
        for grant in (GRANT_SAMPLE, _replace(GRANT_SAMPLE, grant_id=_OVER))
    ]
    append = Append(_BASE, tuple(entries), sign_head(keys[1].signing, head), ())
    found: dict[str, Any] = json.loads(encode_json(_body(made, rows, append)))
    return found


_GOOD = _change()


def changing_book() -> Book:
    """A change of keys."""
    book = Book("key-change", "7-http", "Changes of keys: wraps that wait, and the change.")
    _rewraps(book)
    _pages(book)
    gives = {
        "generation": 2,
        "card": sha256(ACCOUNT_CARD.serialize(_AFTER)).hexdigest(),
        "ended": [GRANT_ID.hex()],
    }
    one = _change(slots=_SLOTS[:1])
    turned = _change(leaves=_leaves_of(_GOOD)[::-1])
    for name, body in (
        ("as it is sent", _GOOD),
        ("in another order", dict(reversed(_GOOD.items()))),
        ("one keyslot", one),
        ("its entries in another order", turned),
        ("its keyslots in another order", _GOOD | {"keyslots": _GOOD["keyslots"][::-1]}),
    ):
        book.accept(name, "key-change", {**_GIVEN, "body": json.dumps(body)}, **gives)
    for name, sent, outcome in (*_misshaped(), *_unsound(), *_unfit()):
        text = sent if isinstance(sent, str) else json.dumps(sent)
        book.refuse(name, "key-change", {**_GIVEN, "body": text}, outcome)
    return book


def _leaves_of(body: dict[str, Any]) -> list[bytes]:
    return [b64decode(leaf) for leaf in body["append"]["leaves"]]


def _b64(data: bytes) -> str:
    return b64encode(data).decode()


def _misshaped() -> Iterator[tuple[str, object, str]]:
    for name in _GOOD:
        left = {key: value for key, value in _GOOD.items() if key != name}
        yield f"without {name}", left, "invalid-input"
        yield f"null for {name}", _GOOD | {name: None}, "invalid-input"
    yield "another field", _GOOD | {"username": "ada"}, "invalid-input"
    yield "a list", list(_GOOD.values()), "invalid-input"
    yield "no JSON", "{", "malformed"
    text = json.dumps(_GOOD)
    yield "a field twice", text[:-1] + ', "grants": []}', "malformed"
    yield "a change's id in capitals", _GOOD | {"change_id": id_text(_CHANGE).upper()}, (
        "invalid-input")  # fmt: skip
    yield "no keyslots", _GOOD | {"keyslots": []}, "invalid-input"
    yield "17 keyslots", _GOOD | {"keyslots": _GOOD["keyslots"][:1] * 17}, "invalid-input"
    for value in (0, "2", 2.0, True):
        told = _GOOD["identity"] | {"generation": value}
        yield f"generation {value!r}", _GOOD | {"identity": told}, "invalid-input"
    grant = _GOOD["grants"][0]
    for name, item in (
        ("null", None),
        ("with more", grant | {"generation": 2}),
        ("without a wrap", {"grant_id": grant["grant_id"]}),
        ("of an id without hyphens", grant | {"grant_id": GRANT_ID.hex()}),
        ("with a wrap in another spelling", grant | {"owner_wrap": grant["owner_wrap"] + "\n"}),
    ):
        grants = [item, _GOOD["grants"][1]]
        yield f"a grant that is {name}", _GOOD | {"grants": grants}, "invalid-input"
    yield "no append", _GOOD | {"append": {}}, "malformed"


def _unsound() -> Iterator[tuple[str, object, str]]:
    """Objects that are none, or not signed as they should be."""
    for name in ("account_card", "succession"):
        cut = _b64(b64decode(_GOOD[name])[:-1])
        yield f"{name} cut short", _GOOD | {name: cut}, "malformed"
    for name in ("card_signature", "succession_signature"):
        yield f"{name} of zeros", _GOOD | {name: _b64(bytes(64))}, "bad-signature"
        yield f"{name} of no bytes", _GOOD | {name: ""}, "bad-signature"
    yield "a card by the keys before", _change(keys=(OWNER_KEYS, OWNER_KEYS)), "bad-signature"
    yield "a succession by the keys after", _change(keys=(_NEXT, _NEXT)), "bad-signature"
    yield "a succession by another", _change(keys=(APP_KEYS, _NEXT)), "bad-signature"
    yield "a weak key", _change(_replace(_AFTER, signing_public=bytes(32))), "weak-key"
    weak = _slot("weak", login_public=bytes(32))
    yield "a keyslot with a weak key", _change(slots=(weak,)), "weak-key"
    head = _change(keys=(OWNER_KEYS, OWNER_KEYS))["append"]["head"]
    before = _GOOD | {"append": _GOOD["append"] | {"head": head}}
    yield "a head by the keys before", before, "bad-signature"
    yield "an identity of 144 bytes", _change(envelope=_ENVELOPE[:-1]), "malformed"
    yield "an identity of another suite", _change(envelope=b"\2" + _ENVELOPE[1:]), "unknown-suite"
    second = _GOOD["grants"][1]
    for name, wrap, outcome in (
        ("of 112 bytes", _WRAP[:-1], "malformed"),
        ("of another suite", b"\2" + _WRAP[1:], "unknown-suite"),
    ):
        grants = [_GOOD["grants"][0], second | {"owner_wrap": _b64(wrap)}]
        yield f"a grant's wrap {name}", _GOOD | {"grants": grants}, outcome


def _unfit() -> Iterator[tuple[str, object, str]]:
    """Parts that do not go together."""
    for name, body in (
        ("a card of another account", _change(_replace(_AFTER, account_id=MEMORY_ID))),
        ("a card of another username", _change(_replace(_AFTER, username="eve"))),
        ("a card of the same key", _change(
            _replace(_AFTER, signing_public=CARD.signing_public), keys=(OWNER_KEYS, OWNER_KEYS))),
        ("a succession of another account", _change(account_id=MEMORY_ID)),
        ("a succession of generation 3", _stepped(3)),
        ("an identity of generation 3", _change(generation=3)),
        ("a succession from another card", _change(before=bytes(32))),
        ("a succession to another card", _change(after=bytes(32))),
        ("a succession of another identity", _change(identity=bytes(32))),
        ("a keyslot of before", _change(slots=(_slot("slot"),))),
        ("a keyslot of the generation before", _change(slots=(_slot("old", generation=1),))),
        ("a keyslot of another account", _change(slots=(_slot("his", account_id=MEMORY_ID),))),
        ("a keyslot twice", _change(slots=(_SLOTS[0], _SLOTS[0]))),
    ):  # fmt: skip
        yield name, body, "invalid-input"
    good = _leaves_of(_GOOD)
    for at, what in enumerate(("rotation", "keyslot", "other keyslot", "removal", "revocation")):
        yield f"without its {what}", _change(leaves=good[:at] + good[at + 1 :]), "invalid-input"
        yield f"its {what} twice", _change(leaves=[*good, good[at]]), "invalid-input"
    for name, more in (
        ("settings", _entry(kinds.SETTINGS, ACCOUNT_ID, 1, b"")),
        ("a grant", _entry(kinds.GRANT, MEMORY_ID, 1, b"")),
        ("a revocation of what is over", _entry(kinds.REVOKE, _OVER, 3, _STATEMENT_OVER)),
        ("a rejection", _entry(kinds.REJECT, MEMORY_ID, 2, b"")),
        ("a deletion", _entry(kinds.DELETE, MEMORY_ID, 2, b"")),
    ):
        yield f"with {name} as well", _change(leaves=[*good, more]), "invalid-input"
    for name, at, entry in (
        ("a rotation of another succession", 0, _entry(kinds.ROTATE, ACCOUNT_ID, 2, b"")),
        ("a revocation of another version", 4, _entry(kinds.REVOKE, GRANT_ID, 3, _STATEMENT)),
        ("a revocation of another statement", 4, _entry(kinds.REVOKE, GRANT_ID, 2, b"")),
    ):
        yield name, _change(leaves=[*good[:at], entry, *good[at + 1 :]]), "invalid-input"


def _stepped(generation: int) -> dict[str, Any]:
    """A change whose succession says another generation than all else."""
    step = SUCCESSION.parse(b64decode(_GOOD["succession"]))
    raw = SUCCESSION.serialize(_replace(step, generation=generation))
    signature = sign_statement(OWNER_KEYS.signing, "succession", raw)
    leaves = [_entry(kinds.ROTATE, ACCOUNT_ID, 2, raw), *_leaves_of(_GOOD)[1:]]
    body = _change(leaves=leaves)
    return body | {"succession": _b64(raw), "succession_signature": _b64(signature)}
