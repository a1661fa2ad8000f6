"""What goes over the wire: appends, pages of the feed, and the records in both."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from coffret.flows.append import Append
from coffret.flows.http import encode_json, encode_msgpack
from coffret_vault.envelope.signature import sign_head
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import OWNER, Author
from coffret_vault.formats.checkpoint import Head
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import (
    KEK,
    Kek,
    Record,
    parse_header,
)
from coffret_vault.keyring import Keyring
from coffret_vault.records.memory import Fields
from coffret_vault.records.seal import Stamp, Wrapping, make_record
from vectors.making.book import Book, Steady, steady
from vectors.making.samples import (
    ACCOUNT_ID,
    APP_ID,
    APP_KEYS,
    CREATED,
    GRANT_ID,
    MEMORY_ID,
    OWNER_KEYS,
    UPDATED,
    identifier,
    secret,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret_vault.keyring import Identity

RING = Keyring(ACCOUNT_ID, 1, secret("account key"))
OWNERS = Wrapping(Kek(generation=1), RING.kek("memory"))
GRANTS = Wrapping(Kek(grant_id=GRANT_ID), secret("grant key"))
_STAMP = Stamp(ACCOUNT_ID, MEMORY_ID, 1, 1, OWNER, CREATED, CREATED)
_SECOND = identifier("second memory")
STRANGE = identifier("other account")
FIELDS = Fields(content="Caf\u00e9 in Lisbon", title="Caf\u00e9", tags=("a",))
_BASE = 3
_WRAP = steady("wrap", 113)
_GOOD_WRAP = b"\1" + _WRAP[1:]


def record_of(
    label: str = "record", fields: Fields = FIELDS, by: Wrapping = OWNERS, **changes: Any
) -> Record:
    """A first version of the memory, by its owner unless a change says otherwise."""
    stamp = msgspec.structs.replace(_STAMP, **changes)
    return make_record(stamp, fields, secret(f"key of {label}"), by, random=Steady(label))


RECORD = record_of()
OTHER = record_of("other", memory_id=_SECOND)


def leaf_of(kind: str, subject: bytes, version: int, digest: bytes) -> bytes:
    """A leaf by the owner."""
    return ENTRY.serialize(Entry(ACCOUNT_ID, kind, subject, version, digest, OWNER, UPDATED))


def put_of(record: Record, **changes: Any) -> bytes:
    """The leaf of a record, by its owner unless a change says otherwise."""
    header = parse_header(record.header)
    entry = ENTRY.parse(leaf_of(kinds.PUT, header.memory_id, header.version, record.digest))
    return ENTRY.serialize(msgspec.structs.replace(entry, **changes))


def head_of(size: int, key: Identity = OWNER_KEYS, account: bytes = ACCOUNT_ID) -> str:
    """A head over so many leaves."""
    root, prev = steady(f"root of {size}", 32), steady("the head before", 32)
    return sign_head(key.signing, Head(account, size, root, prev, UPDATED))


def _append(**changes: Any) -> Append:
    """An append of one memory, its head that of as many leaves."""
    append = Append(_BASE, (put_of(RECORD),), "", (RECORD,))
    append = msgspec.structs.replace(append, **changes)
    head = append.head or head_of(_BASE + len(append.leaves))
    return msgspec.structs.replace(append, head=head)


_ACCEPTED = (MEMORY_ID, 2, KEK.encode(Kek(generation=1)), _GOOD_WRAP)
FULL = _append(
    leaves=(
        put_of(RECORD),
        leaf_of(kinds.ACCEPT, MEMORY_ID, 2, steady("accepted", 32)),
        leaf_of(kinds.REJECT, MEMORY_ID, 3, steady("rejected", 32)),
        put_of(OTHER),
        leaf_of(kinds.DELETE, _SECOND, 2, OTHER.digest),
    ),
    records=(RECORD, OTHER),
    accepts=(_ACCEPTED,),
    wraps=((GRANT_ID, MEMORY_ID, 1, _GOOD_WRAP), (GRANT_ID, _SECOND, 1, _GOOD_WRAP)),
    unwraps=((GRANT_ID, identifier("third memory")),),
)
_PLACE = {"account_id": ACCOUNT_ID.hex(), "public": OWNER_KEYS.signing.public.hex()}


def _packed(append: object) -> dict[str, Any]:
    return {**_PLACE, "bytes": encode_msgpack(append).hex()}


def _bare(**changes: Any) -> dict[str, Any]:
    """The map of an append with one memory; a change to None leaves out."""
    found = {name: getattr(_append(), name) for name in ("base", "leaves", "head", "records")}
    return {name: value for name, value in (found | changes).items() if value is not None}


def _as_json(append: Append = FULL) -> dict[str, Any]:
    """As JSON has it: ids hyphenated."""
    found: dict[str, Any] = json.loads(encode_json(append))
    for name, ids in (("accepts", 1), ("wraps", 2), ("unwraps", 2)):
        for item, source in zip(found[name], getattr(append, name), strict=True):
            item[:ids] = [id_text(part) for part in source[:ids]]
    return found


def in_json() -> str:
    """All that an append may have, as JSON."""
    return json.dumps(_as_json())


def _texted(body: object) -> dict[str, Any]:
    return {**_PLACE, "json": body if isinstance(body, str) else json.dumps(body)}


def _shown(append: Append) -> dict[str, Any]:
    size = append.base + len(append.leaves)
    records = [(parse_header(item.header), item.digest.hex()) for item in append.records]
    return {
        "base": append.base,
        "size": size,
        "leaves": [sha256(leaf).hexdigest() for leaf in append.leaves],
        "records": sorted([h.memory_id.hex(), h.version, digest] for h, digest in records),
        "accepts": [[m.hex(), v, KEK.decode(kek).generation] for m, v, kek, _ in append.accepts],
        "wraps": [[g.hex(), m.hex(), number] for g, m, number, _ in append.wraps],
        "unwraps": [[g.hex(), m.hex()] for g, m in append.unwraps],
    }


def append_book() -> Book:
    """Appends, as far as their bytes tell."""
    book = Book("append", "7-http", "Appends: what their bytes tell, without the log.")
    bare = _append()
    for name, given, append in (
        ("everything", _packed(FULL), FULL),
        ("one memory", _packed(bare), bare),
        ("lists left out", _packed(_bare()), bare),
        ("its fields in another order", _packed(dict(reversed(_bare().items()))), bare),
        ("a head alone", _packed(_append(leaves=(), records=())), _append(leaves=(), records=())),
        ("as JSON", _texted(_as_json()), FULL),
        ("as JSON, in another order", _texted(dict(reversed(_as_json(bare).items()))), bare),
        ("as JSON with white space", _texted(json.dumps(_as_json(bare), indent=1)), bare),
    ):
        book.accept(name, "check-append", given, **_shown(append))
    most = (1 << 63) - 1
    numbered = _append(wraps=((GRANT_ID, MEMORY_ID, most, _GOOD_WRAP),))
    book.accept("the largest number", "check-append", _packed(numbered), **_shown(numbered))
    for name, given in (*_misshaped(), *_malformed()):
        book.refuse(name, "check-append", given, "malformed")
    for name, given, outcome in (*_refused(), *_unfit()):
        book.refuse(name, "check-append", given, outcome)
    return book


def _misshaped() -> Iterator[tuple[str, dict[str, Any]]]:
    """What is not MessagePack or JSON of that shape."""
    good = encode_msgpack(_bare())
    for name, data in (
        ("nothing", b""),
        ("a byte short", good[:-1]),
        ("a byte long", good + b"\0"),
        ("an array", encode_msgpack(list(_bare().values()))),
        ("a field twice", b"\x85" + good[1:] + b"\xa4base\x03"),
        ("a number in a longer form", good.replace(b"\xa4base\x03", b"\xa4base\xcc\x03")),
        ("a name in a longer form", good.replace(b"\xa4base", b"\xd9\x04base")),
        ("a name in bytes", good.replace(b"\xa4base", b"\xc4\x04base")),
        ("a map in a longer form", b"\xde\0\x04" + good[1:]),
        ("a list in a longer form", good.replace(b"\xa6leaves\x91", b"\xa6leaves\xdc\0\x01")),
        ("an extension", good.replace(b"\xa4base\x03", b"\xa4base\xd4\x01\x03")),
        ("a name that is no UTF-8", good.replace(b"base", b"bas\xff")),
    ):
        yield name, {**_PLACE, "bytes": data.hex()}
    text = json.dumps(_as_json())
    one, upper = id_text(GRANT_ID), id_text(GRANT_ID).upper()
    for name, body in (
        ("nothing as JSON", ""),
        ("a field twice in JSON", text[:-1] + ', "base": 3}'),
        ("JSON with more behind it", text + "{}"),
        ("a number that is not finite", text.replace('"base": 3', '"base": NaN')),
        ("an id in capitals", text.replace(one, upper)),
        ("an id without hyphens", text.replace(one, one.replace("-", ""))),
        ("an id in base64", text.replace(one, b64encode(GRANT_ID).decode())),
        ("base64 without padding", _respelt("=", "")),
        ("base64 in another spelling", _respelt("A=", "B=")),
        ("base64 with a newline", _respelt("=", "=\n")),
    ):
        yield name, _texted(body)


def _respelt(old: str, new: str) -> str:
    """JSON in which the last record's wrap is spelt otherwise."""
    body = _as_json()
    for place in range(256):  # until it ends as is wanted
        wrap = b64encode(_GOOD_WRAP[:-1] + bytes([place])).decode()
        if wrap.endswith(old) and not wrap.endswith("=="):
            body["wraps"][0][3] = wrap.removesuffix(old) + new
            return json.dumps(body)
    raise AssertionError


def _malformed() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in ("base", "head"):
        yield f"without {name}", _packed(_bare(**{name: None}))
    for name in ("leaves", "records", "accepts", "wraps", "unwraps"):
        yield f"nil for {name}", _packed(_bare() | {name: None})
        yield f"a map for {name}", _packed(_bare(**{name: {}}))
    yield "another field", _packed(_bare(session=b""))
    for label, base in (("a text", "3"), ("true", True), ("3.0", 3.0), ("3.5", 3.5)):
        yield f"a base that is {label}", _packed(_bare(base=base))
    yield "a head in bytes", _packed(_bare(head=_append().head.encode()))
    yield "a head that is none", _packed(_bare(head=_append().head[:-1]))
    yield "a leaf that is text", _packed(_bare(leaves=["leaf"]))
    late = put_of(RECORD, time=1 << 63)
    yield "an entry of a time of 2^63", _packed(_append(leaves=(late,)))
    whole = tuple(getattr(RECORD, name) for name in RECORD.__struct_fields__)
    for name, record in (
        ("three parts", whole[:3]),
        ("five parts", (*whole, b"")),
        ("a part that is text", (*whole[:3], "wrap")),
        ("a part that is nil", (*whole[:3], None)),
        ("no header", (b"", *whole[1:])),
        ("a header cut short", (whole[0][:-1], *whole[1:])),
        ("an envelope of 80 bytes", (whole[0], whole[1][:80], *whole[2:])),
        ("an envelope that no padding gives", (whole[0], whole[1][:-1], *whole[2:])),
        ("no kek", (*whole[:2], b"", whole[3])),
        ("a wrap of 112 bytes", (*whole[:3], whole[3][:-1])),
        ("a wrap of 114 bytes", (*whole[:3], whole[3] + b"\0")),
    ):
        yield f"a record of {name}", _packed(_bare(records=[record]))
    memory, version, kek, wrap = _ACCEPTED
    for name, accept in (
        ("three parts", (memory, version, kek)),
        ("an id of 15 bytes", (memory[1:], version, kek, wrap)),
        ("an id that is text", (id_text(memory), version, kek, wrap)),
        ("version 0", (memory, 0, kek, wrap)),
        ("version 2^63", (memory, 1 << 63, kek, wrap)),
        ("generation 0", (memory, version, bytes(9), wrap)),
        ("a wrap of 112 bytes", (memory, version, kek, wrap[:-1])),
    ):
        yield f"an acceptance of {name}", _packed(_bare(accepts=[accept]))
    for name, given in (
        ("key number 0", (GRANT_ID, memory, 0, wrap)),
        ("key number 2^63", (GRANT_ID, memory, 1 << 63, wrap)),
        ("a wrap of 114 bytes", (GRANT_ID, memory, 1, wrap + b"\0")),
        ("an id that is text", (GRANT_ID, id_text(memory), 1, wrap)),
    ):
        yield f"a wrap with {name}", _packed(_bare(wraps=[given]))
    yield "an unwrap of one part", _packed(_bare(unwraps=[(GRANT_ID,)]))


def _refused() -> Iterator[tuple[str, dict[str, Any], str]]:
    """What has its form, and is refused for what is in it."""
    yield "a head by another key", _packed(_bare(head=head_of(4, APP_KEYS))), "bad-signature"
    note = _append().head
    body, _, _ = note.rpartition(" ")
    claimed = head_of(4, APP_KEYS).rpartition(" ")[2]
    yield (
        "a head with another one's signature",
        _packed(_bare(head=f"{body} {claimed}")),
        ("bad-signature"),
    )
    altered = note.replace(f"time {UPDATED}", f"time {UPDATED + 1}")
    yield "a head of another time than was signed", _packed(_bare(head=altered)), "bad-signature"
    whole = [getattr(RECORD, name) for name in RECORD.__struct_fields__]
    for at, what in ((1, "an envelope"), (3, "a wrap")):
        parts = [*whole[:at], b"\2" + whole[at][1:], *whole[at + 1 :]]
        yield f"{what} of another suite", _packed(_bare(records=[parts])), "unknown-suite"
    header = bytearray(whole[0])
    header[8 + len(b"coffret/v1/memory-header") + 16] = 2
    of_other = [bytes(header), *whole[1:]]
    yield "a header of another suite", _packed(_bare(records=[of_other])), "unknown-suite"
    many = _append(leaves=(b"",) * 5_001, records=())
    yield "5,001 leaves", _packed(many), "too-large"


def _unfit() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Parts that do not go together."""
    strange = record_of("strange", account_id=STRANGE)
    apps = record_of("app's", author=Author(APP_ID), by=GRANTS)
    granted = record_of("granted", by=GRANTS)
    owner, app = {"account_id": STRANGE}, {"author": Author(APP_ID)}
    second = msgspec.structs.replace(RECORD, header=OTHER.header)
    for name, append in (
        ("a base below 0", _append(base=-1, head=head_of(4))),
        ("a head of another size", _append(head=head_of(5))),
        ("a head of another account", _append(head=head_of(4, account=STRANGE))),
        ("a leaf of another account", _append(leaves=(put_of(RECORD, **owner),))),
        ("an app's leaf", _append(leaves=(put_of(RECORD, **app),))),
        ("a record of another account", _append(leaves=(put_of(strange),), records=(strange,))),
        ("an app's record", _append(leaves=(put_of(apps),), records=(apps,))),
        ("a record under a grant's key", _append(leaves=(put_of(granted),), records=(granted,))),
        ("a leaf without its record", _append(records=())),
        ("a record without its leaf", _append(leaves=())),
        ("a record twice", _append(records=(RECORD, RECORD))),
        ("a leaf twice", _append(leaves=(put_of(RECORD), put_of(RECORD)))),
        ("another record", _append(records=(OTHER,))),
        ("another header", _append(records=(second,))),
        ("another version", _append(leaves=(put_of(RECORD, version=2),))),
        ("another digest", _append(leaves=(put_of(RECORD, digest=bytes(32)),))),
        ("an acceptance under a grant's key", _append(accepts=((*_ACCEPTED[:2],
            KEK.encode(Kek(grant_id=GRANT_ID)), _GOOD_WRAP),))),
        ("an acceptance twice", _append(accepts=(_ACCEPTED, _ACCEPTED))),
    ):  # fmt: skip
        yield name, _packed(append), "invalid-input"
