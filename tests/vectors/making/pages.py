"""Pages of the feed, as a device reads them, and the records that stand in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from coffret.flows.http import encode_msgpack
from coffret_vault.envelope import wrap_key
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import Author
from coffret_vault.formats.memory import KEK, Kek, memory_key_wrap_header
from coffret_vault.records.memory import Fields
from vectors.making.book import Book, Steady, flipped
from vectors.making.samples import (
    ACCOUNT_ID,
    APP_ID,
    GRANT_ID,
    MEMORY_ID,
    UPDATED,
    secret,
)
from vectors.making.wire import (
    FIELDS,
    GRANTS,
    OTHER,
    OWNERS,
    RECORD,
    RING,
    head_of,
    leaf_of,
    put_of,
    record_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret_vault.formats.memory import Record


def page_book() -> Book:
    """Pages of the feed as a device reads them, and the records in them."""
    book = Book("sync-page", "7-http", "Pages of GET /sync, and records as they stand there.")
    leaves = [put_of(RECORD), leaf_of(kinds.REJECT, MEMORY_ID, 3, bytes(32)), b"an app's", b""]
    for name, items in (
        ("nothing new", []),
        ("entries", [(leaf, None) for leaf in leaves]),
        ("a record", [(leaves[0], RECORD), (leaves[1], None)]),
    ):
        page = [9, head_of(9), items]
        digests = [[leaf.hex(), record and record.digest.hex()] for leaf, record in items]
        given = {"bytes": encode_msgpack(page).hex()}
        shown = {"size": 9, "head": page[1], "items": digests}
        book.accept(name, "sync-page", given, **shown)
    later = {"bytes": encode_msgpack([9, head_of(9), [], "of a later version"]).hex()}
    book.accept("more behind it", "sync-page", later, size=9, head=head_of(9), items=[])
    for name, wrong in _wrong_pages():
        data = wrong if isinstance(wrong, bytes) else encode_msgpack(wrong)
        book.refuse(name, "sync-page", {"bytes": data.hex()}, "malformed")
    _open_records(book)
    return book


def _wrong_pages() -> Iterator[tuple[str, object]]:
    note, leaf = head_of(9), put_of(RECORD)
    parts = [getattr(RECORD, name) for name in RECORD.__struct_fields__]
    yield "nothing", b""
    yield "a byte long", encode_msgpack([9, note, []]) + b"\0"
    yield "a byte short", encode_msgpack([9, note, [(leaf, None)]])[:-1]
    yield "a map", {"size": 9, "head": note, "items": []}
    yield "two parts", [9, note]
    for name, size in (("a text", "9"), ("nil", None), ("true", True), ("9.5", 9.5)):
        yield f"a size that is {name}", [size, note, []]
    yield "a head in bytes", [9, note.encode(), []]
    yield "items that are nil", [9, note, None]
    for name, item in (
        ("an item of one part", (leaf,)),
        ("an item of three parts", (leaf, None, None)),
        ("a leaf that is text", ("leaf", None)),
        ("a record of three parts", (leaf, parts[:3])),
        ("a record of five parts", (leaf, [*parts, b""])),
        ("a record with a part that is text", (leaf, [*parts[:3], "wrap"])),
        ("a record that is a map", (leaf, dict(zip("abcd", parts, strict=True)))),
        ("a record that is false", (leaf, False)),
    ):
        yield name, [9, note, [item]]


def _open_records(book: Book) -> None:
    keys = {
        "account_id": ACCOUNT_ID.hex(),
        "account_key": RING.account_key().reveal().hex(),
        "grant_id": GRANT_ID.hex(),
        "grant_key": secret("grant key").reveal().hex(),
    }
    second: dict[str, Any] = {"version": 2, "updated": UPDATED}
    sealed = Fields(content="seen by nobody", title="Caf\u00e9", importance=0.5, sealed=True)
    app: dict[str, Any] = {"author": Author(APP_ID), "by": GRANTS}
    for name, record, content in (
        ("by its owner", RECORD, FIELDS.content),
        ("a second version under its first key", record_of(**second), FIELDS.content),
        ("sealed visibility", record_of("sealed", sealed), sealed.content),
        ("by an app", record_of("app's", **app), FIELDS.content),
        ("accepted of an app", record_of("app's", author=Author(APP_ID)), FIELDS.content),
    ):  # fmt: skip
        given = {**keys, "bytes": encode_msgpack(record).hex()}
        book.accept(name, "open-record", given, content=content, digest=record.digest.hex())
    for name, record in _unopened():
        given = {**keys, "bytes": encode_msgpack(record).hex()}
        book.refuse(name, "open-record", given, "cannot-open")
    good = encode_msgpack(RECORD)
    for name, data in (("a record cut short", good[:-1]), ("a record and more", good + b"\0"),
                       ("no record", b"\xc0"), ("a record of none", b"\x90")):  # fmt: skip
        book.refuse(name, "open-record", {**keys, "bytes": data.hex()}, "malformed")


def _unopened() -> Iterator[tuple[str, Record]]:
    replace, later = msgspec.structs.replace, record_of(version=2, updated=UPDATED)
    yield "the header of another version", replace(RECORD, header=later.header)
    yield "the envelope of another version", replace(RECORD, envelope=later.envelope)
    yield "the wrap of another memory", replace(RECORD, wrap=OTHER.wrap)
    yield "the name of another generation", replace(RECORD, kek=KEK.encode(Kek(generation=2)))
    yield "the name of a grant", replace(RECORD, kek=KEK.encode(Kek(grant_id=GRANT_ID)))
    yield "the name of another grant", replace(RECORD, kek=KEK.encode(Kek(grant_id=APP_ID)))
    yield "no name of a key", replace(RECORD, kek=b"")
    yield "no header", replace(RECORD, header=b"")
    aad = memory_key_wrap_header(ACCOUNT_ID, MEMORY_ID, 2, KEK.encode(OWNERS.name))
    numbered = wrap_key(
        "memory-key", OWNERS.key, aad, secret("key of record"), random=Steady("numbered")
    )
    yield "a wrap of another key number", replace(RECORD, wrap=numbered)
    for name in ("envelope", "wrap"):
        for at, what in ((0, "suite"), (1, "salt"), (33, "commitment"), (65, "text"), (-1, "tag")):
            data = getattr(RECORD, name)
            place = at % len(data)
            changed = bytes.fromhex(flipped(data, place))
            yield f"a bit of the {what} of its {name}", replace(RECORD, **{name: changed})
        yield f"its {name} cut short", replace(RECORD, **{name: getattr(RECORD, name)[:-1]})
