"""What an app reads under a grant: heads, and pages of records under them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from coffret.flows.http import encode_msgpack
from coffret_vault.envelope.signature import sign_head
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import Author
from coffret_vault.formats.checkpoint import NO_HEAD, Head
from coffret_vault.formats.memory import Record, parse_header
from vectors.making.book import Book, flipped, steady
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
    secret,
)
from vectors.making.wire import FIELDS, GRANTS, STRANGE, leaf_of, put_of, record_of
from vectors.making.writing import OTHER, SECOND, app_put, app_record
from vectors.verifier import tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret_vault.keyring import Identity

_STRANGER = Author(REQUEST_ID)
_THIRD = identifier("third memory")
_OWN = record_of("given", by=GRANTS)
_TAKEN = app_record("taken", memory_id=SECOND)
_DOWN = app_record("turned down", memory_id=_THIRD)
_WAITING = app_record("waiting", memory_id=SECOND, version=2, updated=UPDATED)


def _decided(kind: str, record: Record) -> bytes:
    header = parse_header(record.header)
    return leaf_of(kind, header.memory_id, header.version, record.digest)


_LEAVES = [
    leaf_of(kinds.ACCOUNT, ACCOUNT_ID, 1, steady("card", 32)),
    leaf_of(kinds.GRANT, GRANT_ID, 1, steady("grant", 32)),
    put_of(_OWN),
    app_put(_TAKEN),
    app_put(_DOWN),
    _decided(kinds.ACCEPT, _TAKEN),
    _decided(kinds.REJECT, _DOWN),
]


def _head(leaves: list[bytes], key: Identity = OWNER_KEYS, **changes: Any) -> str:
    head = Head(ACCOUNT_ID, len(leaves), tree.root(leaves), NO_HEAD, UPDATED)
    return sign_head(key.signing, msgspec.structs.replace(head, **changes))


_NOTE, _KNOWN = _head(_LEAVES), 3
_CONTINUES = tree.consistency_proof(_KNOWN, _LEAVES)
_PLACE: dict[str, Any] = {
    "account_id": ACCOUNT_ID.hex(),
    "owner": OWNER_KEYS.signing.public.hex(),
    "app_id": APP_ID.hex(),
    "public": APP_KEYS.signing.public.hex(),
    "grant_id": GRANT_ID.hex(),
    "grant_key": secret("grant key").reveal().hex(),
    "known": _head(_LEAVES[:_KNOWN]),
}


def _item(record: Record, status: str, index: int, leaf: bytes | None = None) -> list[Any]:
    number = parse_header(record.header).key_number
    shown = _LEAVES[index] if leaf is None else leaf
    return [record.header, record.envelope, number, record.wrap, status, index, shown]


_ACCEPTED = _item(_OWN, "accepted", 2)
_AGREED = _item(_TAKEN, "accepted", 5)
_REJECTED = [_LEAVES[4], b"", 1, b"", "rejected", 6, _LEAVES[6]]
_PENDING = _item(_WAITING, "pending", 7, app_put(_WAITING))
_ALL = [_ACCEPTED, _AGREED, _REJECTED, _PENDING]
_SHOWN: list[list[Any]] = [
    [MEMORY_ID.hex(), 1, "accepted", FIELDS.content],
    [SECOND.hex(), 1, "accepted", FIELDS.content],
    [_THIRD.hex(), 1, "rejected", None],
    [SECOND.hex(), 2, "pending", FIELDS.content],
]


def _page(items: list[list[Any]], following: str | None = None) -> list[Any]:
    indexes = {item[5] for item in items if item[4] != "pending" and item[5] < len(_LEAVES)}
    return [following, items, _NOTE, _CONTINUES, tree.many_proof(indexes, _LEAVES)]


def _given(answer: object, **changes: Any) -> dict[str, Any]:
    data = answer if isinstance(answer, bytes) else encode_msgpack(answer)
    return {**_PLACE, **changes, "bytes": data.hex()}


def reading_book() -> Book:
    """Heads and pages as an app reads them."""
    about = "Pages of GET /grants/{id}/records and answers of GET /grants/{id}/head."
    book = Book("reading", "7-http", about)
    _heads(book)
    more = [*_page(_ALL), "of a later version"]
    first = _page(_ALL)
    first[3] = []
    for name, given, shown, following in (
        ("nothing", _given(_page([])), [], None),
        ("each status", _given(_page(_ALL)), _SHOWN, None),
        *((f"one that is {item[2]}, {at}", _given(_page([_ALL[at]])), [item], None)
          for at, item in enumerate(_SHOWN)),
        ("more to come", _given(_page([_ACCEPTED], "a_cursor==")), _SHOWN[:1], "a_cursor=="),
        ("more behind its last part", _given(more), _SHOWN, None),
        ("a first reading", _given(first, known=None), _SHOWN, None),
        ("the head that is known", _given(first, known=_NOTE), _SHOWN, None),
    ):  # fmt: skip
        gives = {"next": following, "size": len(_LEAVES), "items": shown}
        book.accept(name, "grant-page", given, **gives)
    for name, wrong in (*_misshaped(), *_items()):
        book.refuse(name, "grant-page", _given(wrong), "malformed")
    for name, wrong in _unproven():
        book.refuse(name, "grant-page", _given(wrong), "untrustworthy")
    for name, item in (*_unnamed(), *_unopened()):
        book.refuse(name, "grant-page", _given(_page([item])), "untrustworthy")
    for name, item in _unsigned():
        book.refuse(name, "grant-page", _given(_page([item])), "bad-signature")
    return book


def _heads(book: Book) -> None:
    good = {"size": 9, "head": _NOTE, "continues": _CONTINUES}
    first = good | {"continues": []}
    for name, given in (
        ("one that goes on", _given(good)),
        ("the one that is known", _given(first, known=_NOTE)),
        ("a first one", _given(first, known=None)),
        ("a field more", _given(good | {"later": None})),
    ):
        book.accept(name, "grant-head", given, size=len(_LEAVES))
    for name, wrong in (
        ("nothing", b""),
        ("a byte short", encode_msgpack(good)[:-1]),
        ("a byte long", encode_msgpack(good) + b"\0"),
        ("an array", list(good.values())),
        ("without a head", {"size": 7, "continues": []}),
        ("without a proof", {"size": 7, "head": _NOTE}),
        ("nil for the proof", good | {"continues": None}),
        ("a part of the proof that is text", good | {"continues": ["part"]}),
        ("a head in bytes", good | {"head": _NOTE.encode()}),
        ("a head that is none", good | {"head": _NOTE[:-1]}),
    ):
        book.refuse(name, "grant-head", _given(wrong), "malformed")
    other = [*_LEAVES[:2], *_LEAVES[3:]]
    refuse = partial(book.refuse, outcome="untrustworthy")
    for name, changes in (
        ("of another account", {"head": _head(_LEAVES, account_id=STRANGE)}),
        ("of a shorter log", {"head": _head(_LEAVES[:2]), "continues": []}),
        ("of another log", {"head": _head(other),
            "continues": tree.consistency_proof(_KNOWN, other)}),
        ("that is another of that size", {"head": _head(_LEAVES[:3], time=UPDATED + 1),
            "continues": []}),
        ("whose proof is left out", {"continues": []}),
        ("whose proof is a part short", {"continues": _CONTINUES[:-1]}),
        ("whose proof is a part long", {"continues": [*_CONTINUES, bytes(32)]}),
        ("whose proof is the other way round", {"continues": _CONTINUES[::-1]}),
    ):  # fmt: skip
        refuse(f"a head {name}", "grant-head", _given(good | changes))
    for name, changed in (
        ("by another key", _head(_LEAVES, APP_KEYS)),
        ("of another time than was signed", _NOTE.replace(f"{UPDATED}", f"{UPDATED + 1}")),
    ):
        given = _given(good | {"head": changed})
        book.refuse(f"a head {name}", "grant-head", given, "bad-signature")


def _with(page: list[Any], at: int, part: object) -> list[Any]:
    return [*page[:at], part, *page[at + 1 :]]


def _misshaped() -> Iterator[tuple[str, object]]:
    good = _page(_ALL)
    yield "no page", b""
    yield "a byte short", encode_msgpack(good)[:-1]
    yield "a byte long", encode_msgpack(good) + b"\0"
    yield "four parts", good[:4]
    yield "a map", dict(zip(("next", "items", "head", "continues", "nodes"), good, strict=True))
    for at, what in enumerate(("cursor", "items", "head", "proof", "nodes")):
        yield f"a number for its {what}", _with(good, at, 1)
        if at:
            yield f"nil for its {what}", _with(good, at, None)
    yield "a head in bytes", _with(good, 2, _NOTE.encode())
    yield "a head cut short", _with(good, 2, _NOTE[:-1])
    yield "a node that is text", _with(good, 4, ["node"])


def _items() -> Iterator[tuple[str, object]]:
    for name, item in (
        ("six parts", _ACCEPTED[:6]),
        ("eight parts", [*_ACCEPTED, None]),
        ("no header", _with(_ACCEPTED, 0, b"")),
        ("a header cut short", _with(_ACCEPTED, 0, _OWN.header[:-1])),
        ("a header that is text", _with(_ACCEPTED, 0, "header")),
        ("an envelope that is nil", _with(_REJECTED, 1, None)),
        ("key number -1", _with(_ACCEPTED, 2, -1)),
        ("key number 2^63", _with(_ACCEPTED, 2, 1 << 63)),
        ("a key number that is text", _with(_ACCEPTED, 2, "1")),
        ("a wrap that is nil", _with(_REJECTED, 3, None)),
        ("another status", _with(_ACCEPTED, 4, "deleted")),
        ("a status that is nil", _with(_ACCEPTED, 4, None)),
        ("a leaf that is nil", _with(_ACCEPTED, 6, None)),
    ):
        yield f"an item of {name}", _page([item])
    for what, index in (("-1", -1), ("2^63", 1 << 63), ("true", True), ("2.5", 2.5)):
        wrong = _with(_page([_ACCEPTED]), 1, [_with(_ACCEPTED, 5, index)])
        yield f"an item of index {what}", wrong


def _unproven() -> Iterator[tuple[str, object]]:
    good = _page(_ALL)
    yield "no nodes", _with(good, 4, [])
    yield "a node short", _with(good, 4, good[4][:-1])
    yield "a node long", _with(good, 4, [*good[4], bytes(32)])
    yield "another node", _with(good, 4, [bytes(32), *good[4][1:]])
    yield "no proof that it goes on", _with(good, 3, [])
    yield "a leaf at another index", _with(good, 1, [_with(_ACCEPTED, 5, 3), *_ALL[1:]])
    yield "a leaf behind the head", _with(good, 1, [_with(_ACCEPTED, 5, 7), *_ALL[1:]])
    two = [_ACCEPTED, _with(_AGREED, 5, 2), *_ALL[2:]]
    yield "two leaves of one index", _page(two)
    short, part = _head(_LEAVES[:5]), _LEAVES[:5]
    nodes, continues = tree.many_proof({2}, part), tree.consistency_proof(_KNOWN, part)
    yield "a decision behind the head", [None, [_ACCEPTED, _AGREED], short, continues, nodes]


def _unnamed() -> Iterator[tuple[str, list[Any]]]:
    """Items whose entry is in the log, or signed, and is not what it has to be."""
    yield "accepted by the app's own entry", _item(_TAKEN, "accepted", 3)
    yield "accepted by an entry of another memory", _item(_OWN, "accepted", 5)
    yield "accepted by a rejection", _item(_DOWN, "accepted", 6)
    yield "accepted by what is no entry", _with(_ACCEPTED, 6, b"entry")
    other = record_of("given otherwise", by=GRANTS)
    yield "accepted with another digest", _item(other, "accepted", 2)
    second = record_of("given", by=GRANTS, version=2)
    yield "accepted with another version", _item(second, "accepted", 2)
    yield "pending by the owner's entry", _item(_OWN, "pending", 2)
    yield "pending by the entry of another", _item(_WAITING, "pending", 7, app_put(OTHER))
    yield "pending by an entry cut short", _with(_PENDING, 6, _PENDING[6][:-1])
    delete = app_put(_WAITING, kind=kinds.DELETE)
    yield "pending by a deletion", _item(_WAITING, "pending", 7, delete)
    by_other = app_record("of another", author=_STRANGER)
    leaf = app_put(by_other, author=_STRANGER)
    yield "pending by another app", _item(by_other, "pending", 7, leaf)
    yield "rejected by the app's own entry", [*_REJECTED[:5], 4, _LEAVES[4]]
    yield "rejected by an acceptance", [*_REJECTED[:5], 5, _LEAVES[5]]
    yield "rejected by an entry of another", [app_put(OTHER), *_REJECTED[1:]]
    yield "rejected without an entry", _with(_REJECTED, 0, b"")
    yield "rejected with its header", _with(_REJECTED, 0, _DOWN.header)
    yield "rejected with its envelope", _with(_REJECTED, 1, _DOWN.envelope)
    yield "rejected with its wrap", _with(_REJECTED, 3, _DOWN.wrap)
    yield "rejected with key number 0", _with(_REJECTED, 2, 0)
    yield "rejected with a key number beyond its version", _with(_REJECTED, 2, 2)


def _unopened() -> Iterator[tuple[str, list[Any]]]:
    """Items that are named by their entry, and do not open as what they say."""
    yield "another key number", _with(_ACCEPTED, 2, 2)
    yield "key number 0", _with(_ACCEPTED, 2, 0)
    yield "the wrap of another memory", _with(_ACCEPTED, 3, _TAKEN.wrap)
    yield "a wrap for the owner", _with(_ACCEPTED, 3, record_of("given").wrap)
    yield "no wrap", _with(_ACCEPTED, 3, b"")
    for at, what in ((0, "suite"), (1, "salt"), (33, "commitment"), (65, "text"), (112, "tag")):
        changed = bytes.fromhex(flipped(_OWN.wrap, at))
        yield f"a bit of the {what} of its wrap", _with(_ACCEPTED, 3, changed)
        altered = bytes.fromhex(flipped(_WAITING.envelope, at))
        record = msgspec.structs.replace(_WAITING, envelope=altered)
        item = _item(record, "pending", 7, app_put(record))
        yield f"a bit of the {what} of its envelope", item
    strange = app_record("strange", account_id=STRANGE)
    leaf = app_put(strange, account_id=STRANGE)
    yield "of another account", _item(strange, "pending", 7, leaf)


def _unsigned() -> Iterator[tuple[str, list[Any]]]:
    yield from (
        ("pending, by another key", _with(_PENDING, 6, app_put(_WAITING, OWNER_KEYS))),
        ("pending, with a signature of zeros", _with(_PENDING, 6, _PENDING[6][:-64] + bytes(64))),
        ("rejected, by another key", _with(_REJECTED, 0, app_put(_DOWN, OWNER_KEYS))),
    )
