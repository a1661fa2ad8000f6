"""PAE, and every object that is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from coffret_vault.formats.account import RECOVERY
from coffret_vault.formats.author import Author
from coffret_vault.formats.pae import pack_list, pack_set, pae, read_pae, u64
from coffret_vault.formats.sharing import SELECTOR, Selector
from vectors.making.book import Book, steady
from vectors.making.samples import ACCOUNT_ID, APP_ID, LAYOUTS, SAMPLES, show

if TYPE_CHECKING:
    from collections.abc import Iterator

_HUGE = b"\xff" * 8
_PAGES = {
    "keyslot": "3-keys",
    "account": "3-keys",
    "succession": "3-keys",
    "login": "3-keys",
    "account-deletion": "3-keys",
    "memory-header": "4-records",
    "log-entry": "5-log",
    "app-manifest": "6-grants",
    "selector": "6-grants",
    "access-request": "6-grants",
    "grant": "6-grants",
}


def pae_book() -> Book:
    """PAE itself."""
    book = Book("pae", "1-encoding", "The canonical encoding, and what is not it.")
    fields = ["", "00", "63616665cc81", "ff" * 40]
    for count in range(len(fields) + 1):
        given: dict[str, Any] = {"purpose": "example", "fields": fields[:count]}
        encoded = pae("example", *map(bytes.fromhex, fields[:count]))
        book.accept(f"{count} fields", "pae", given, bytes=encoded.hex())
        reading = {"purpose": "example", "count": count, "bytes": encoded.hex()}
        book.accept(f"{count} fields, read", "read-pae", reading, fields=fields[:count])
    good = pae("example", b"ab", b"c")
    for name, data, outcome in _mangled(good):
        given = {"purpose": "example", "count": 2, "bytes": data.hex()}
        book.refuse(name, "read-pae", given, outcome)
    return book


def _mangled(good: bytes) -> Iterator[tuple[str, bytes, str]]:
    label = len(b"coffret/v1/example")
    suite = 8 + label + 8 + 8
    first = suite + 1
    yield "nothing", b"", "malformed"
    yield "suite 0", good[:suite] + b"\0" + good[suite + 1 :], "unknown-suite"
    yield "suite 2", good[:suite] + b"\2" + good[suite + 1 :], "unknown-suite"
    yield "suite 2, and cut behind it", good[:suite] + b"\2", "unknown-suite"
    yield "a suite of two bytes", good.replace(u64(1) + b"\1", u64(2) + b"\1\1"), "malformed"
    yield "cut before the suite", good[:suite], "malformed"
    yield "another label", good.replace(b"example", b"sample!"), "malformed"
    yield "another version of the label", good.replace(b"/v1/", b"/v2/"), "malformed"
    yield "a field too many", pae("example", b"ab", b"c", b""), "malformed"
    yield "a field too few", pae("example", b"abc"), "malformed"
    yield "a byte left over", good + b"\0", "malformed"
    yield "a byte missing", good[:-1], "malformed"
    yield "a length that runs past the end", good[:first] + u64(99) + good[first + 8 :], "malformed"
    yield "a length of 2^64-1", good[:first] + _HUGE + good[first + 8 :], "malformed"
    yield "a length cut short", good[: first + 4], "malformed"
    yield "a count of fields of 2^64-1", good[: 8 + label] + _HUGE + good[16 + label :], "malformed"
    yield "little-endian lengths", good.replace(u64(2), (2).to_bytes(8, "little")), "malformed"


def object_books() -> Iterator[Book]:
    """A file for every kind of object."""
    for kind, sample in SAMPLES.items():
        book = Book(kind, _PAGES[kind], f"Objects of the kind `{kind}`: parsed, and refused.")
        for name, value in {"as usual": sample, **_VARIANTS.get(kind, {})}.items():
            encoded = LAYOUTS[kind].serialize(value).hex()
            book.accept(name, "parse", {"kind": kind, "bytes": encoded}, **show(value))
        for name, data, outcome in _refused(kind, LAYOUTS[kind].serialize(sample)):
            book.refuse(name, "parse", {"kind": kind, "bytes": data.hex()}, outcome)
        yield book


def _replace(sample: str, **changes: Any) -> Any:
    return msgspec.structs.replace(SAMPLES[sample], **changes)


_VARIANTS: dict[str, dict[str, Any]] = {
    "keyslot": {"a recovery slot": _replace("keyslot", kind=RECOVERY, kdf=None, generation=7)},
    "account": {"the shortest username": _replace("account", username="0._")},
    "succession": {"a later one": _replace("succession", generation=2**63 - 1)},
    "login": {"a port": _replace("login", origin="http://127.0.0.1:8300")},
    "account-deletion": {"a port": _replace("account-deletion", origin="http://127.0.0.1:8300")},
    "memory-header": {
        "sealed": _replace(
            "memory-header", sealed=True, title="", importance=None, tags=frozenset()
        ),
        "by the owner": _replace("memory-header", author=Author()),
        "longest title and tag": _replace(
            "memory-header", title="t" * 512, tags=frozenset(("\u4e16" * 21 + "x",))
        ),
        "importance 0": _replace("memory-header", importance=0),
        "importance 1": _replace("memory-header", importance=1_000_000),
    },
    "log-entry": {
        "by an app": _replace("log-entry", author=Author(APP_ID)),
        "a revocation": _replace("log-entry", kind="revoke"),
        "settings": _replace("log-entry", kind="settings", subject=ACCOUNT_ID),
        "the largest version": _replace("log-entry", version=2**64 - 1),
    },
    "app-manifest": {"no homepage": _replace("app-manifest", homepage="")},
    "selector": {"everything": Selector(everything=True), "since only": Selector(since=0)},
    "access-request": {
        "standing, for everything": _replace(
            "access-request", standing=True, selector=Selector(everything=True), retention=""
        ),
        "ten years": _replace("access-request", seconds=316_224_000),
    },
    "grant": {"standing": _replace("grant", standing=True, auto_accept=True)},
}

_NOT_NFC, _NOT_UTF8, _NUL = "e\u0301".encode(), b"\xff\xfe", b"a\0b"
_SURROGATE, _OVERLONG = b"\xed\xa0\x80", b"\xc0\xaf"
_BAD_TEXTS = (_NOT_NFC, _NOT_UTF8, _NUL, _SURROGATE, _OVERLONG)
_BAD_NUMBERS = (b"", bytes(7), bytes(9))
_BAD_FLAGS = (b"", b"\2", b"\0\0")
_UNSORTED, _REPEATED = pack_list((b"b", b"a")), pack_list((b"a", b"a"))
_BAD_SETS = (
    _UNSORTED,
    _REPEATED,
    b"",
    pack_set((b"a",)) + b"\0",
    pack_set((b"a",))[:-1],
    u64(2) + pack_set((b"a",))[8:],
    _HUGE,
)
_BAD_OPTIONS = (b"", pack_list((u64(1), u64(2))), pack_list((bytes(7),)))
_MILLION_ONE = pack_list((u64(1_000_001),))
_BAD_AUTHORS = (b"", b"\2", b"\0\0", b"\1" + bytes(15), b"\1" + bytes(17), b"\2" + bytes(16))
_ID, _KEY, _XWING = ((bytes(size - 1), bytes(size + 1), b"") for size in (16, 32, 1216))
_SELECTORS = (
    b"",
    SELECTOR.serialize(Selector(everything=True)) + b"\0",
    pae("selector", b"\0", *[pack_list(())] * 5),
    pae("selector", b"\1", pack_set((b"a",)), *[pack_list(())] * 4),
)
_SCOPES = (pack_list(()), pack_set((b"admin",)), pack_list((b"read", b"create")), *_BAD_SETS[2:])
_KDFS = (
    pack_list((b"argon2i", bytes(16), u64(65_536), u64(3), u64(4))),
    pack_list((b"argon2id", bytes(15), u64(65_536), u64(3), u64(4))),
    pack_list((b"argon2id", bytes(16), u64(65_536), u64(3))),
    pack_list((b"argon2id", bytes(16), u64(65_536), u64(3), bytes(4))),
    pack_list(()),
    b"",
)
_BAD: dict[str, dict[str, tuple[bytes, ...]]] = {
    "keyslot": {
        "account_id": _ID,
        "kind": (b"", b"Passphrase", b"guardian", b"recovery"),
        "generation": (*_BAD_NUMBERS, u64(0)),
        "kdf": _KDFS,
        "login_public": _KEY,
        "created": _BAD_NUMBERS,
        "wrap": (b"", bytes(112), bytes(114)),
    },
    "account": {
        "username": (b"", b"ab", b"Ada", b".ada", b"ada lovelace", b"a" * 65, "ad\u00e9".encode()),
        "signing_public": _KEY[:2],
        "sealing_public": _XWING[:2],
    },
    "succession": {
        "account_id": _ID,
        "generation": (*_BAD_NUMBERS, u64(0), u64(1)),
        "before": (*_KEY, steady("card after", 32)),
        "after": (*_KEY, steady("card before", 32)),
        "identity": _KEY,
        "created": _BAD_NUMBERS,
    },
    "login": {"origin": (*_BAD_TEXTS, b"h" * 301), "nonce": _KEY, "session_public": _KEY},
    "account-deletion": {
        "origin": (*_BAD_TEXTS, b"h" * 301),
        "account_id": _ID,
        "slot_id": _ID,
        "nonce": _KEY,
        "card": _KEY,
        "created": _BAD_NUMBERS,
    },
    "memory-header": {
        "memory_id": _ID,
        "version": (*_BAD_NUMBERS, u64(0)),
        "key_number": (u64(0), u64(3)),  # the version is 2
        "author": _BAD_AUTHORS,
        "updated": (u64(0),),
        "sealed": (*_BAD_FLAGS, b"\1"),
        "title": (*_BAD_TEXTS, b"t" * 513),
        "importance": (*_BAD_OPTIONS, _MILLION_ONE),
        "tags": (
            *_BAD_SETS,
            pack_list((b"",)),
            pack_list((b"a\n",)),
            pack_list((b"\x7f",)),
            pack_list((b"\xc2\x85",)),
            pack_list((b"t" * 65,)),
            pack_list((_NOT_NFC,)),
            pack_set(f"{n:02}".encode() for n in range(65)),
        ),
    },
    "log-entry": {
        "kind": (b"", b"PUT", b"grant ", b"sync"),
        "version": (*_BAD_NUMBERS, u64(0)),
        "digest": _KEY,
        "author": _BAD_AUTHORS,
    },
    "app-manifest": {
        "name": (*_BAD_TEXTS, b"", b" ", b"n" * 81),
        "homepage": (b"h" * 201,),
        "sealing_public": _XWING[:1],
    },
    "selector": {
        "everything": (*_BAD_FLAGS, b"\1"),
        "tags": (*_BAD_SETS, pack_set(f"{n:03}".encode() for n in range(257))),
        "ids": (pack_list((bytes(15),)), pack_list((bytes(16), bytes(16)))),
        "importance": (*_BAD_OPTIONS, _MILLION_ONE),
        "since": _BAD_OPTIONS,
    },
    "access-request": {
        "scopes": _SCOPES,
        "selector": _SELECTORS,
        "purpose": (*_BAD_TEXTS, b"", b"\t ", b"p" * 1001),
        "retention": (b"r" * 201,),
        "seconds": (*_BAD_NUMBERS, u64(3_599), u64(316_224_001)),
        "standing": _BAD_FLAGS,
        "nonce": _KEY,
    },
    "grant": {
        "request_digest": _KEY,
        "scopes": _SCOPES,
        "selector": _SELECTORS,
        "auto_accept": _BAD_FLAGS,
        "expires": (*_BAD_NUMBERS, u64(0)),
    },
}


def _refused(kind: str, good: bytes) -> Iterator[tuple[str, bytes, str]]:
    names = [name for name, _ in LAYOUTS[kind].fields]
    fields = read_pae(kind, len(names), good)
    suite_at = 8 + len(f"coffret/v1/{kind}") + 16
    yield "another suite", good[:suite_at] + b"\2" + good[suite_at + 1 :], "unknown-suite"
    yield "another kind", pae(f"{kind}s", *fields), "malformed"
    yield "a field too many", pae(kind, *fields, b""), "malformed"
    yield "a field too few", pae(kind, *fields[:-1]), "malformed"
    yield "a byte left over", good + b"\0", "malformed"
    yield "a byte missing", good[:-1], "malformed"
    for name, values in _BAD[kind].items():
        at = names.index(name)
        for number, value in enumerate(values, 1):
            changed = [*fields[:at], value, *fields[at + 1 :]]
            yield f"{name}, wrong way {number}", pae(kind, *changed), "malformed"
    if kind == "log-entry":
        at = names.index("kind")
        by_app = [*fields[:at], b"revoke", *fields[at + 1 : 5], b"\1" + APP_ID, *fields[6:]]
        yield "an app revokes", pae(kind, *by_app), "malformed"
    yield "noise", steady(f"noise {kind}", len(good) % 300), "malformed"
