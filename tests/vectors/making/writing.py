"""What an app writes under a grant: its entries, each signed, and its records."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from coffret.flows.http import encode_json, encode_msgpack
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import OWNER, Author
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.formats.memory import HEADER, KEK, Kek, Record, parse_header
from vectors.making.book import Book, steady
from vectors.making.samples import (
    ACCOUNT_ID,
    APP_ID,
    APP_KEYS,
    GRANT_ID,
    MEMORY_ID,
    OWNER_KEYS,
    REQUEST_ID,
    UPDATED,
    identifier,
)
from vectors.making.wire import GRANTS, OWNERS, STRANGE, leaf_of, put_of, record_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret_vault.keyring import Identity

APP = Author(APP_ID)
SECOND = identifier("second memory")
_PLACE = {
    "app_id": APP_ID.hex(),
    "public": APP_KEYS.signing.public.hex(),
    "grant_id": GRANT_ID.hex(),
}


def signed(message: bytes, key: Identity = APP_KEYS) -> bytes:
    """An app's leaf: its entry and the signature."""
    return message + sign_statement(key.signing, "app-entry", message)


def app_record(label: str = "app's", **changes: Any) -> Record:
    """A record by the app, under its grant's key."""
    return record_of(label, **({"author": APP, "by": GRANTS} | changes))


def app_put(record: Record, key: Identity = APP_KEYS, **changes: Any) -> bytes:
    """The leaf of a record by the app."""
    return signed(put_of(record, **({"author": APP} | changes)), key)


RECORD = app_record()
OTHER = app_record("app's other", memory_id=SECOND)
_NEXT = app_record("app's next", version=2, updated=UPDATED)


def _delete(subject: bytes = SECOND, version: int = 3, **changes: Any) -> bytes:
    entry = Entry(ACCOUNT_ID, kinds.DELETE, subject, version, OTHER.digest, APP, UPDATED)
    return signed(ENTRY.serialize(msgspec.structs.replace(entry, **changes)))


def _body(*records: Record, leaves: list[Any] | None = None) -> dict[str, Any]:
    return {
        "records": list(records),
        "leaves": [app_put(record) for record in records] if leaves is None else leaves,
    }


FULL = _body(RECORD, _NEXT, OTHER)
FULL["leaves"].append(_delete())


def _packed(body: object) -> dict[str, Any]:
    data = body if isinstance(body, bytes) else encode_msgpack(body)
    return {**_PLACE, "bytes": data.hex()}


def _texted(body: object) -> dict[str, Any]:
    text = body if isinstance(body, str) else encode_json(body).decode()
    return {**_PLACE, "json": text}


def _shown(body: dict[str, Any]) -> dict[str, Any]:
    records = [(parse_header(item.header), item.digest.hex()) for item in body.get("records", [])]
    return {
        "account_id": ACCOUNT_ID.hex(),
        "leaves": [sha256(leaf).hexdigest() for leaf in body["leaves"]],
        "records": sorted([h.memory_id.hex(), h.version, digest] for h, digest in records),
    }


def writing_book() -> Book:
    """An app's writings, as far as their bytes tell."""
    book = Book("writing", "7-http", "What apps write: what its bytes tell, without the grant.")
    one, gone = _body(RECORD), {"leaves": [_delete()]}
    new = _titled("\U0001faff")
    for name, given, body in (
        ("everything", _packed(FULL), FULL),
        ("one memory", _packed(one), one),
        ("its fields in another order", _packed(dict(reversed(one.items()))), one),
        ("a deletion alone", _packed(gone), gone),
        ("no records", _packed(gone | {"records": []}), gone),
        ("a pictograph of a later Unicode", _packed(new), new),
        ("records in another order", _packed(FULL | {"records": FULL["records"][::-1]}), FULL),
        ("as JSON", _texted(FULL), FULL),
        ("as JSON with white space", _texted(json.dumps(_as_json(one), indent=1)), one),
    ):
        book.accept(name, "check-writing", given, **_shown(body))
    for name, given in (*_misshaped(), *_malformed()):
        book.refuse(name, "check-writing", given, "malformed")
    for name, given, outcome in _refused():
        book.refuse(name, "check-writing", given, outcome)
    for name, body in (*_unfit(), *_strange()):
        book.refuse(name, "check-writing", _packed(body), "invalid-input")
    return book


def _as_json(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode_json(body))
    return found


def _titled(title: str) -> dict[str, Any]:
    """A record whose header has this title, whatever the SDK would say of it."""
    header = msgspec.structs.replace(parse_header(RECORD.header), sealed=False, title=title)
    return _body(msgspec.structs.replace(RECORD, header=HEADER.serialize(header)))


def _misshaped() -> Iterator[tuple[str, dict[str, Any]]]:
    one = _body(RECORD)
    good, text = encode_msgpack(one), json.dumps(_as_json(one))
    for name, data in (
        ("nothing", b""),
        ("a byte short", good[:-1]),
        ("a byte long", good + b"\0"),
        ("an array", encode_msgpack(list(one.values()))),
        ("a field twice", b"\x83" + good[1:] + b"\xa6leaves\x90"),
        ("a name in a longer form", good.replace(b"\xa6leaves", b"\xd9\x06leaves")),
        ("a list in a longer form", good.replace(b"\xa6leaves\x91", b"\xa6leaves\xdc\0\x01")),
    ):
        yield name, _packed(data)
    for name, body in (
        ("nothing as JSON", ""),
        ("a field twice in JSON", text[:-1] + ', "leaves": []}'),
        ("JSON with more behind it", text + "{}"),
        ("null for records in JSON", json.dumps(_as_json(one) | {"records": None})),
        ("a leaf in base64 with a newline", json.dumps(_as_json(one)).replace('"]', '\\n"]')),
    ):
        yield name, _texted(body)


def _malformed() -> Iterator[tuple[str, dict[str, Any]]]:
    one = _body(RECORD)
    yield "without leaves", _packed({"records": []})
    for name in ("leaves", "records"):
        yield f"nil for {name}", _packed(one | {name: None})
        yield f"a map for {name}", _packed(one | {name: {}})
    for field, value in (("base", 0), ("head", ""), ("accepts", []), ("account_id", ACCOUNT_ID)):
        yield f"a field {field}", _packed(one | {field: value})
    leaf = one["leaves"][0]
    for name, wrong in (
        ("text", "leaf"),
        ("nothing", b""),
        ("a signature alone", leaf[-64:]),
        ("a byte short", leaf[:-1]),
        ("a byte long", leaf + b"\0"),
        ("an entry without its signature", leaf[:-64]),
        ("an entry with two signatures", leaf + leaf[-64:]),
        ("the owner's", put_of(RECORD)),
        ("of a kind that apps do not make", signed(_of_kind(leaf, b"accept"))),
        ("of version 2^63", app_put(RECORD, version=1 << 63)),
        ("of a time of 2^63", app_put(RECORD, time=1 << 63)),
    ):
        yield f"a leaf that is {name}", _packed(one | {"leaves": [wrong]})
    whole = [getattr(RECORD, name) for name in RECORD.__struct_fields__]
    for name, record in (
        ("three parts", whole[:3]),
        ("five parts", [*whole, b""]),
        ("a part that is nil", [*whole[:3], None]),
        ("no header", [b"", *whole[1:]]),
        ("a header cut short", [whole[0][:-1], *whole[1:]]),
        ("an envelope that no padding gives", [whole[0], whole[1][:-1], *whole[2:]]),
        ("no kek", [*whole[:2], b"", whole[3]]),
        ("a kek of 16 bytes", [*whole[:2], whole[2][:-1], whole[3]]),
        ("a wrap of 112 bytes", [*whole[:3], whole[3][:-1]]),
        ("a wrap of 114 bytes", [*whole[:3], whole[3] + b"\0"]),
    ):
        yield f"a record of {name}", _packed(one | {"records": [record]})


def _of_kind(leaf: bytes, kind: bytes) -> bytes:
    """An app's entry with another kind in it."""
    long, put = len(kind).to_bytes(8, "big"), (3).to_bytes(8, "big") + b"put"
    assert leaf.count(put) == 1
    return leaf[:-64].replace(put, long + kind)


def _refused() -> Iterator[tuple[str, dict[str, Any], str]]:
    one = _body(RECORD)
    leaf = one["leaves"][0]
    for name, wrong in (
        ("by the owner's key", app_put(RECORD, OWNER_KEYS)),
        ("of zeros", leaf[:-64] + bytes(64)),
        ("of another entry", leaf[:-64] + app_put(OTHER)[-64:]),
        ("as another kind", leaf[:-64] + sign_statement(APP_KEYS.signing, "grant", leaf[:-64])),
    ):
        yield f"a signature {name}", _packed(one | {"leaves": [wrong]}), "bad-signature"
    second = [*FULL["leaves"][:-1], FULL["leaves"][-1][:-64] + leaf[-64:]]
    yield "a signature of another one behind", _packed(FULL | {"leaves": second}), "bad-signature"
    whole = [getattr(RECORD, name) for name in RECORD.__struct_fields__]
    for at, what in ((1, "an envelope"), (3, "a wrap")):
        parts = [*whole[:at], b"\2" + whole[at][1:], *whole[at + 1 :]]
        yield f"{what} of another suite", _packed(one | {"records": [parts]}), "unknown-suite"
    for name, body in (
        ("1,001 leaves", {"leaves": [b""] * 1_001}),
        ("1,001 records", {"leaves": [], "records": [[b""] * 4] * 1_001}),
    ):
        yield name, _packed(body), "too-large"
    yield "1,001 leaves as JSON", _texted({"leaves": [b""] * 1_001}), "too-large"


def _unfit() -> Iterator[tuple[str, dict[str, Any]]]:
    """Parts that do not go together."""
    one = _body(RECORD)
    leaf = one["leaves"][0]
    yield "no leaves", {"leaves": []}
    yield "a record alone", one | {"leaves": []}
    yield "a leaf without its record", {"leaves": [leaf]}
    yield "a record without its leaf", one | {"leaves": [_delete()]}
    yield "a record twice", _body(RECORD, RECORD)
    yield "a record twice for one leaf", _body(RECORD, RECORD, leaves=[leaf])
    yield "a leaf twice", one | {"leaves": [leaf, leaf]}
    yield "another record", _body(OTHER, leaves=[leaf])
    yield "another version", _body(_NEXT, leaves=[leaf])
    yield "another digest", _body(RECORD, leaves=[app_put(RECORD, digest=bytes(32))])
    header = msgspec.structs.replace(RECORD, header=OTHER.header)
    yield "another header", _body(header, leaves=[leaf])
    envelope = msgspec.structs.replace(RECORD, envelope=OTHER.envelope)
    yield "another envelope", _body(envelope, leaves=[leaf])
    yield "a title that is not assigned", _titled("\u0378")


def _strange() -> Iterator[tuple[str, dict[str, Any]]]:
    """What is of somebody else."""
    stranger = app_record("strange", account_id=STRANGE)
    yield "entries of two accounts", {"leaves": [_delete(), _delete(account_id=STRANGE)]}
    yield "a record of another account", _body(stranger, leaves=[app_put(RECORD)])
    by_other: dict[str, Any] = {"author": Author(REQUEST_ID)}
    yield "another app's entry", {"leaves": [_delete(**by_other)]}
    yield "another app's record", _body(app_record("of another", **by_other), leaves=[_delete()])
    yield "the owner's record", _body(record_of(author=OWNER, by=GRANTS), leaves=[_delete()])
    yield "the owner's entry, signed", {"leaves": [signed(leaf_of("delete", SECOND, 2, bytes(32)))]}
    yield "the owner's decision, signed", {"leaves": [signed(leaf_of("accept", MEMORY_ID, 1,
        steady("digest", 32)))]}  # fmt: skip
    for name, kek in (
        ("the owner's", KEK.encode(OWNERS.name)),
        ("another grant's", KEK.encode(Kek(grant_id=REQUEST_ID))),
    ):
        yield f"a record under {name} key", _body(msgspec.structs.replace(RECORD, kek=kek))
