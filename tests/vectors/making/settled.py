"""What an owner has settled for a whole vault."""

from __future__ import annotations

from typing import Any

import msgspec

from coffret_vault.formats.entry import ENTRY, PUT, SETTINGS
from coffret_vault.formats.pae import u64
from coffret_vault.formats.settings import Settings, serialize_settings
from vectors.making.book import Book, steady
from vectors.making.samples import ACCOUNT_ID, APP_ID, ENTRY_SAMPLE, MEMORY_ID, show

_OTHERS = steady("switches that may be unknown", 16)
_ON, _OFF = serialize_settings(Settings(sealed=True)), bytes(32)
_BOTH = Settings(sealed=True, others=_OTHERS)
_WITH = serialize_settings(_BOTH)


def _only(switch: int) -> bytes:
    value = bytearray(32)
    value[switch // 8] = 1 << switch % 8
    return bytes(value)


def _entry(version: int, switches: bytes, **changes: Any) -> bytes:
    owners = msgspec.structs.replace(
        ENTRY_SAMPLE, kind=SETTINGS, subject=ACCOUNT_ID, version=version, digest=switches
    )
    return ENTRY.serialize(msgspec.structs.replace(owners, **changes))


def _shown(settings: Settings) -> dict[str, Any]:
    return {"sealed": settings.sealed, "others": settings.others.hex()}


def settings_book() -> Book:
    """Switches, the entries that hold them, and what several entries come to."""
    book = Book("settings", "5-log", "The settings of a vault: switches, and entries with them.")
    for name, switches, settings in (
        ("nothing settled", _OFF, Settings()),
        ("sealed", _ON, Settings(sealed=True)),
        ("sealed, and what may be unknown", _WITH, _BOTH),
        ("switch 128", _only(128), Settings(others=_only(128)[16:])),
        ("switch 255", _only(255), Settings(others=_only(255)[16:])),
    ):
        book.accept(name, "settings", {"bytes": switches.hex()}, **_shown(settings))
    for switch in (1, 7, 8, 64, 127):
        given = {"bytes": (bytes((_only(switch)[0] | 1,)) + _only(switch)[1:]).hex()}
        book.refuse(f"switch {switch}", "settings", given, "unknown-setting")
    for name, data in (("nothing", b""), ("31 bytes", _ON[:-1]), ("33 bytes", _ON + b"\0")):
        book.refuse(name, "settings", {"bytes": data.hex()}, "malformed")
    _entries(book)
    _logs(book)
    return book


def _entries(book: Book) -> None:
    good = _entry(1, _ON)
    given = {"kind": "log-entry", "bytes": good.hex()}
    book.accept("an entry", "parse", given, **show(ENTRY.parse(good)))
    owner = u64(1) + b"\0" + u64(8)
    assert good.count(owner) == 1
    for name, data in (
        ("an entry about a memory", good.replace(_about(ACCOUNT_ID), _about(MEMORY_ID))),
        ("an entry by an app", good.replace(owner, u64(17) + b"\1" + APP_ID + u64(8))),
        ("an entry of version 0", good.replace(u64(8) + u64(1), u64(8) + u64(0))),
        ("an entry of 31 switch bytes", good.replace(u64(32) + _ON, u64(31) + _ON[:-1])),
    ):
        assert data != good
        book.refuse(name, "parse", {"kind": "log-entry", "bytes": data.hex()}, "malformed")


def _about(subject: bytes) -> bytes:
    return b"settings" + u64(16) + subject


def _logs(book: Book) -> None:
    put, stranger = _entry(1, _ON, kind=PUT, subject=MEMORY_ID), _only(1)
    for name, entries, settings in (
        ("a log without", [put], Settings()),
        ("settled once", [put, _entry(1, _ON), put], Settings(sealed=True)),
        ("settled, and undone", [_entry(1, _ON), put, _entry(2, _OFF)], Settings()),
        ("the last counts", [_entry(1, _OFF), _entry(2, _WITH)], _BOTH),
    ):
        version = sum(b"settings" in entry for entry in entries)
        given = {"entries": [entry.hex() for entry in entries]}
        book.accept(name, "settings-log", given, version=version, **_shown(settings))
    for name, entries, outcome in (
        ("begun with the second", [_entry(2, _ON)], "untrustworthy"),
        ("twice the first", [_entry(1, _ON), _entry(1, _ON)], "untrustworthy"),
        ("one left out", [_entry(1, _ON), _entry(3, _OFF)], "untrustworthy"),
        ("the other way round", [_entry(2, _OFF), _entry(1, _ON)], "untrustworthy"),
        ("an unknown one in between", [_entry(1, stranger), _entry(2, _ON)], "unknown-setting"),
    ):
        given = {"entries": [entry.hex() for entry in entries]}
        book.refuse(name, "settings-log", given, outcome)
