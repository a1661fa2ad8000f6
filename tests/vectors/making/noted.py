"""What a device keeps sealed of what it intends and knows, and its own record of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from coffret_vault.envelope import seal
from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import OWNER, Author
from coffret_vault.formats.checkpoint import NO_HEAD, Head, parse_head
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.formats.pae import u64
from coffret_vault.keyring import Keyring
from coffret_vault.log.tree import Frontier
from coffret_vault.store import seal_note
from coffret_vault.store.mark import Mark
from coffret_vault.store.notes import note_header
from coffret_vault.store.seals import Sealing
from vectors import ours_noted
from vectors.making.book import Book, Steady, flipped, steady
from vectors.making.samples import (
    ACCOUNT_ID,
    APP_ID,
    APP_KEYS,
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

_RING = Keyring(ACCOUNT_ID, 2, secret("account key"))
_PLACE: dict[str, Any] = {
    "account_id": ACCOUNT_ID.hex(),
    "account_key": secret("account key").reveal().hex(),
    "generation": 2,
}
_TEXT = b"what it is about to do"
_SECOND = identifier("second memory")


def note_book() -> Book:
    """Notes, the two seals over a store, and the record of the log that both are of."""
    book = Book("note", "2-envelope", "What a device keeps sealed: notes, and what it knows.")
    good = _PLACE | {"name": "unsent", "note": _note().hex()}
    book.accept("a note", "open-note", good, note=_TEXT.hex())
    empty = good | {"note": _note(text=b"").hex()}
    book.accept("a note that says nothing", "open-note", empty, note="")
    other = good | {"name": "caf\u00e9", "note": _note("caf\u00e9").hex()}
    book.accept("a name in any script", "open-note", other, note=_TEXT.hex())
    book.accept("of earlier keys", "open-note", good | {"generation": 3}, note=None)
    for name, changes in _unopened(_note()):
        book.refuse(name, "open-note", good | changes, "untrustworthy")
    _texts(book)
    _plain_texts(book)
    _log_records(book)
    _seals(book)
    return book


def _note(name: str = "unsent", text: bytes = _TEXT) -> bytes:
    return seal_note(_RING, name, text, random=Steady(f"note {name}"))


def _unopened(note: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "under another name", {"name": "unsent drafts"}
    yield "of another account", {"account_id": GRANT_ID.hex()}
    yield "under another account key", {"account_key": steady("another account key", 32).hex()}
    yield "that says it is of later keys", {"note": (u64(3) + note[8:]).hex()}
    yield "of generation 0", {"note": (bytes(8) + note[8:]).hex()}
    yield "without its generation", {"note": note[8:].hex()}
    yield "a generation alone", {"note": note[:8].hex()}
    yield "nothing", {"note": ""}
    yield "a byte short", {"note": note[:-1].hex()}
    yield "a byte long", {"note": (note + b"\0").hex()}
    for what, at in (("suite", 8), ("salt", 9), ("commitment", 41), ("text", 73)):
        yield f"a bit of its {what}", {"note": flipped(note, at)}
    header, key = note_header(ACCOUNT_ID, 2, "unsent"), _RING.kek("local")
    as_other = seal("memory", key, header, _TEXT, random=Steady("as a memory"))
    yield "sealed as something else", {"note": (u64(2) + as_other).hex()}


# -- what stands in them -------------------------------------------------------------------------

UNSENT: list[Any] = [
    *(7, MEMORY_ID, "POST", "/log", b"a body", "application/msgpack", {}, [], True, False),
]
_ASKED: list[Any] = [
    *(7, b"", "PUT", "/memory-blobs/x", b"", "application/json", {"If-Match": '"1"'}, [["a", "b"]]),
]
DRAFT: list[Any] = [b"an entry", b"a header", b"a payload", False]
UNKEPT: list[Any] = [UPDATED, "overtaken", 7, [b"an entry"], [[b"a header", b"a payload"]]]
_pack = msgspec.msgpack.encode


def _texts(book: Book) -> None:
    """What is said in the notes that a newer program has to read."""
    for name, kind, said in (
        ("a change that was sent", "unsent", UNSENT),
        ("a change with more to its request", "unsent", [*_ASKED, False, True]),
        ("a change as an older program noted it", "unsent", UNSENT[:5]),
        ("a memory that was said", "draft", DRAFT),
        ("a change that was given up", "unkept", UNKEPT),
        ("a change that nobody reads any more", "unkept", UNKEPT[:2]),
        ("what a later program says as well", "draft", [*DRAFT, 1]),
    ):
        given = {"kind": kind, "note": _pack(said).hex()}
        book.accept(name, "note-text", given, **ours_noted.text(given))
    for name, kind, wrong in _wrong_texts():
        data = wrong if isinstance(wrong, bytes) else _pack(wrong)
        book.refuse(f"{kind}: {name}", "note-text", {"kind": kind, "note": data.hex()}, "malformed")


_SHARED = MEMORY_ID + u64(1) + _SECOND + u64(70_000)
_SINCE = steady("digest of a head", 32) + u64(70_000)
_PLACES = {"/home/ada/notes": "notes", "/home/ada/caf\u00e9": "caf\u00e9"}


def _plain_texts(book: Book) -> None:
    """Notes that are bytes in a row, a map, or a hash."""
    for name, kind, note in (
        ("keys to hand over", "sharing", _SHARED),
        ("nothing to hand over", "sharing", b""),
        ("a head that was asked for", "read since", _SINCE),
        ("folders that were imported", "import places", _pack(_PLACES)),
        ("no folders", "import places", _pack({})),
    ):
        given = {"kind": kind, "note": note.hex()}
        book.accept(name, "note-text", given, **ours_noted.text(given))
    for kind, note in (("sharing", _SHARED), ("read since", _SINCE)):
        for name, data in (("a byte short", note[:-1]), ("a byte long", note + b"\0"),
                           ("a number short", note[:-8])):  # fmt: skip
            wrong = {"kind": kind, "note": data.hex()}
            book.refuse(f"{kind}: {name}", "note-text", wrong, "malformed")
    book.refuse("read since: nothing", "note-text", {"kind": "read since", "note": ""}, "malformed")
    places = _pack(_PLACES)
    for name, data in (
        ("nothing", b""),
        ("a byte short", places[:-1]),
        ("a byte long", places + b"\0"),
        ("an array", _pack(list(_PLACES))),
        ("a namespace that is nil", _pack({"/home": None})),
        ("a namespace in bytes", _pack({"/home": b"notes"})),
        ("a path in bytes", _pack({b"/home": "notes"})),
        ("a path that is a number", _pack({1: "notes"})),
        ("a path that is no UTF-8", places.replace(b"/home", b"/hom\xff")),
    ):
        wrong = {"kind": "import places", "note": data.hex()}
        book.refuse(f"import places: {name}", "note-text", wrong, "malformed")
    two = [GRANT_ID, APP_ID]
    for name, ids in (
        ("none over", two[:0]),
        ("one over", two[:1]),
        ("two over", two),
        ("in another order", two[::-1]),
    ):
        ended = {"over": [one.hex() for one in ids]}
        book.accept(name, "note-freshened", ended, **ours_noted.over(ended))


def _wrong_texts() -> Iterator[tuple[str, str, object]]:
    for kind, said, least in (("unsent", UNSENT, 5), ("draft", DRAFT, 4), ("unkept", UNKEPT, 2)):
        yield "nothing", kind, b""
        yield "a byte short", kind, _pack(said)[:-1]
        yield "a byte long", kind, _pack(said) + b"\0"
        yield "too few parts", kind, said[: least - 1]
        yield "a map", kind, {"at": 1}
        for at, part in enumerate(said):
            yield f"nil for part {at}", kind, [*said[:at], None, *said[at + 1 :]]
            other: object = "text" if not isinstance(part, str) else b"bytes"
            yield f"another type of part {at}", kind, [*said[:at], other, *said[at + 1 :]]
    yield "a header that is no text", "unsent", [*UNSENT[:6], {"If-Match": 1}, [], True, False]
    yield "a parameter of one part", "unsent", [*UNSENT[:7], [["a"]], True, False]
    yield "a leaf that is text", "unkept", [*UNKEPT[:3], ["entry"], []]
    yield "words of one part", "unkept", [*UNKEPT[:4], [[b"a header"]]]


# -- the log --------------------------------------------------------------------------------------


def _leaf(kind: str, subject: bytes, author: Author = OWNER) -> bytes:
    digest = steady(f"digest {kind}", 32)
    message = ENTRY.serialize(Entry(ACCOUNT_ID, kind, subject, 1, digest, author, UPDATED))
    if author is OWNER:
        return message
    return message + sign_statement(APP_KEYS.signing, "app-entry", message)


_LEAVES = [
    _leaf(kinds.ACCOUNT, ACCOUNT_ID),
    _leaf(kinds.GRANT, GRANT_ID),
    _leaf(kinds.PUT, MEMORY_ID),
    _leaf(kinds.PUT, _SECOND),
    _leaf(kinds.PUT, identifier("third memory")),
]
_TAIL = _leaf(kinds.PUT, identifier("an app's"), Author(APP_ID))


def _record(leaves: list[bytes], tail: tuple[bytes, ...] = (), key: Identity = OWNER_KEYS) -> bytes:
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    head = Head(ACCOUNT_ID, frontier.size, frontier.root(), NO_HEAD, UPDATED)
    return Mark(parse_head(sign_head(key.signing, head)), frontier, tail).pack()


def log_record() -> bytes:
    """The record of a log with entries behind its head."""
    return _record(_LEAVES, (_TAIL,))


def _log_records(book: Book) -> None:
    for name, leaves, tail in (
        ("one entry", _LEAVES[:1], ()),
        ("five entries", _LEAVES, ()),
        ("with entries behind its head", _LEAVES[:4], (_TAIL, _TAIL)),
    ):
        given = {"log": _record(leaves, tail).hex()}
        book.accept(name, "log-record", given, **ours_noted.mark(given))
    good = log_record()
    said = msgspec.msgpack.decode(good)
    pack = msgspec.msgpack.encode
    for name, data in (
        ("nothing", b""),
        ("a byte short", good[:-1]),
        ("a byte long", good + b"\0"),
        ("an array", pack(list(said.values()))),
        *((f"without {key}", pack({k: v for k, v in said.items() if k != key})) for key in said),
        ("a head that is none", pack(said | {"head": said["head"][:-1]})),
        ("a head in bytes", pack(said | {"head": said["head"].encode()})),
        ("a size that is text", pack(said | {"size": "5"})),
        ("a tree of another size", pack(said | {"size": 7})),
        ("a tree cut short", pack(said | {"frontier": said["frontier"][:-1]})),
        ("a leaf that is text", pack(said | {"tail": ["leaf"]})),
    ):
        book.refuse(f"a record: {name}", "log-record", {"log": data.hex()}, "malformed")


# -- the seals ------------------------------------------------------------------------------------

_ROWS: dict[str, Any] = {
    "grants": [[GRANT_ID.hex(), steady("a grant's row", 300).hex()]],
    "wraps": [[GRANT_ID.hex(), MEMORY_ID.hex(), 1], [GRANT_ID.hex(), _SECOND.hex(), 300]],
    "values": [["account", steady("account", 40).hex()], ["settings", steady("set", 9).hex()]],
    "memories": [
        [MEMORY_ID.hex(), 1, 0, steady("state", 60).hex()],
        [_SECOND.hex(), 70_000, 2, steady("second state", 260).hex()],
    ],
}


def _leaves(of: list[bytes]) -> list[list[Any]]:
    return [[at, leaf.hex()] for at, leaf in enumerate(of)]


def _sealed(leaves: list[bytes], **rows: Any) -> dict[str, Any]:
    """Rows beside a log, as a device seals them there."""
    given = _PLACE | _ROWS | rows | {"owner": OWNER_KEYS.signing.public.hex()}
    log = _record(leaves)
    given |= {"log": log.hex(), "leaves": _leaves(leaves)}
    with ours_noted.stored(given) as store:
        sealing = Sealing(_RING, OWNER_KEYS.signing.public, Steady("seals"))
        with store.known.change():
            store.known.renew(sealing)
        given["known"] = (store.meta("known") or b"").hex()
        given["states"] = store.state_seal.sealed(log, sealing)["states"].hex()
    return given


def _seals(book: Book) -> None:
    good = _sealed(_LEAVES[:3])
    none: dict[str, Any] = {table: [] for table in _ROWS}
    on = _record(_LEAVES[:4], (_TAIL,)).hex()
    further = {"log": on, "leaves": _leaves([*_LEAVES[:4], _TAIL])}
    for name, given in (
        ("what was sealed", good),
        ("nothing known", _sealed(_LEAVES[:1], **none)),
        ("rows in another order", good | {name: rows[::-1] for name, rows in _ROWS.items()}),
    ):
        book.accept(name, "known-seal", given)
        book.accept(name, "states-seal", given)
    book.accept("a log that went on", "known-seal", good | further)
    for name, changes in (*_changed_rows(), *_changed_logs()):
        book.refuse(name, "known-seal", good | changes, "untrustworthy")
    for name, changes in _changed_states(good):
        book.refuse(name, "states-seal", good | changes, "untrustworthy")
    known = bytes.fromhex(good["known"])
    for name, note in _changed_notes(known):
        book.refuse(name, "known-seal", good | {"known": note.hex()}, "untrustworthy")


def _changed_rows() -> Iterator[tuple[str, dict[str, Any]]]:
    grants, wraps, values = (_ROWS[name] for name in ("grants", "wraps", "values"))
    yield "a grant left out", {"grants": []}
    yield "a grant of another id", {"grants": [[MEMORY_ID.hex(), grants[0][1]]]}
    yield "a grant's row changed", {"grants": [[grants[0][0], steady("another", 300).hex()]]}
    yield "a grant more", {"grants": [*grants, [MEMORY_ID.hex(), "00"]]}
    yield "a key left out", {"wraps": wraps[:1]}
    yield "a key more", {"wraps": [*wraps, [GRANT_ID.hex(), GRANT_ID.hex(), 1]]}
    yield "a key of another number", {"wraps": [[*wraps[0][:2], 2], wraps[1]]}
    yield "a key of another memory", {"wraps": [[GRANT_ID.hex(), APP_ID.hex(), 1], wraps[1]]}
    yield "settings left out", {"values": values[:1]}
    yield "settings changed", {"values": [values[0], ["settings", "00"]]}
    exchanged = [["account", values[1][1]], ["settings", values[0][1]]]
    yield "account and settings exchanged", {"values": exchanged}


def _changed_logs() -> Iterator[tuple[str, dict[str, Any]]]:
    telling = [*_LEAVES[:3], _leaf(kinds.REVOKE, GRANT_ID)]
    yield (
        "a log with a revocation behind it",
        {
            "log": _record(telling).hex(),
            "leaves": _leaves(telling),
        },
    )
    tail = _record(_LEAVES[:3], (_leaf(kinds.SETTINGS, ACCOUNT_ID),)).hex()
    told = [*_LEAVES[:3], _leaf(kinds.SETTINGS, ACCOUNT_ID)]
    yield "a log with settings behind it", {"log": tail, "leaves": _leaves(told)}
    yield (
        "a log turned back",
        {
            "log": _record(_LEAVES[:2]).hex(),
            "leaves": _leaves(_LEAVES[:2]),
        },
    )
    other = [*_LEAVES[:2], _LEAVES[3]]
    yield "another log of that size", {"log": _record(other).hex(), "leaves": _leaves(other)}
    yield "a head by another key", {"log": _record(_LEAVES[:3], (), APP_KEYS).hex()}
    yield "a log that went on, its entry left out", {"log": _record(_LEAVES[:4]).hex()}
    yield "an entry that no record has", {"leaves": _leaves(_LEAVES[:4])}


def _changed_states(good: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    first, second = _ROWS["memories"]
    yield "a memory left out", {"memories": [first]}
    yield "a memory more", {"memories": [first, second, [GRANT_ID.hex(), 1, 0, ""]]}
    yield "a memory of another id", {"memories": [[GRANT_ID.hex(), *first[1:]], second]}
    yield "another current version", {"memories": [[first[0], 2, *first[2:]], second]}
    yield "a proposal more", {"memories": [[*first[:2], 1, first[3]], second]}
    yield "another state", {"memories": [[*first[:3], "00"], second]}
    states = [[*first[:3], second[3]], [*second[:3], first[3]]]
    yield "states exchanged", {"memories": states}
    yield "another position", {"log": _record(_LEAVES[:4]).hex()}
    sealed = bytes.fromhex(good["states"])
    yield "a bit of the seal", {"states": flipped(sealed, 8)}
    yield "a seal cut short", {"states": sealed[:-1].hex()}
    yield "a seal that is long", {"states": (sealed + b"\0").hex()}
    yield "a seal of earlier keys", {"states": (u64(1) + sealed[8:]).hex()}
    yield "no seal", {"states": ""}
    yield "another account key", {"account_key": steady("another account key", 32).hex()}


def _changed_notes(known: bytes) -> Iterator[tuple[str, bytes]]:
    yield "a bit of the note", bytes.fromhex(flipped(known, -1 % len(known)))
    yield "a note of earlier keys", u64(1) + known[8:]
    yield "no note", b""
    for name, other in (("another note", "unsent"), ("a note of that name", "known")):
        yield f"{name} of this device", seal_note(_RING, other, bytes(72), random=Steady(name))
