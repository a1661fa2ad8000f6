"""Signed and authenticated objects: the trusted core, the independent verifier and the server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from coffret_server.problems import ProblemError
from coffret_server.wire import log, records
from coffret_vault.errors import FormatError
from coffret_vault.formats.account import Keyslot
from coffret_vault.formats.entry import ENTRY, SETTINGS, Entry, parse_leaf, serialize_entry
from coffret_vault.formats.memory import KEK, Header, peek_header, serialize_header
from coffret_vault.formats.pae import SUITE
from fuzz.shaping import mutate_fields
from fuzz.target import Target, agreed, given_of
from server.readers import READERS
from vectors.making.samples import ENTRY_SAMPLE, LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Iterator

_SETTLING = msgspec.structs.replace(ENTRY_SAMPLE, kind=SETTINGS, subject=ENTRY_SAMPLE.account_id)
_NESTED = frozenset(("access-request", "grant"))
_TOO_LARGE_FOR_A_DATABASE = 1 << 63


def _server_takes(kind: str, data: bytes) -> bool | None:
    reader = READERS.get(kind)
    if reader is None:
        return None
    try:
        reader(data)
    except ProblemError:
        return False
    return True


def _only_devices(value: Any) -> bool:
    """Whether there is what no database holds, or a wrap of another suite, which does not open."""
    other = isinstance(value, Keyslot) and value.wrap[0] != SUITE
    return other or _largest(value) >= _TOO_LARGE_FOR_A_DATABASE


def _largest(value: object) -> int:
    if isinstance(value, int):
        return value
    if isinstance(value, msgspec.Struct):
        return max(_largest(getattr(value, name)) for name in value.__struct_fields__)
    return 0


def _check(kind: str, data: bytes) -> None:
    """All three readers say the same, and what is read is written as it was."""
    read = agreed("parse", {"kind": kind, "bytes": data.hex()}, nested=kind in _NESTED)
    taken = _server_takes(kind, data)
    if read is None:
        assert not taken, "the server takes what no device reads"
        return
    value = LAYOUTS[kind].parse(data)
    if taken is False:
        assert _only_devices(value), "the server refuses what devices read"
    _check_quick(value, data)


def _check_quick(value: Any, data: bytes) -> None:
    """The quick readers and writers do as the general ones."""
    if isinstance(value, Entry):
        assert serialize_entry(value) == data
    if isinstance(value, Header):
        assert serialize_header(value) == data
        peek = peek_header(data)
        assert (peek is None) == (not value.author.is_owner)
        if peek is not None:
            names = peek.__struct_fields__
            assert msgspec.structs.astuple(peek) == tuple(getattr(value, name) for name in names)


def _check_leaf(data: bytes) -> None:
    """Both readers agree on a leaf; it is its entry and its signature; the server splits alike."""
    if agreed("leaf", {"bytes": data.hex()}) is None:
        return
    leaf = parse_leaf(data)
    assert leaf.message + leaf.signature == data
    assert ENTRY.serialize(leaf.entry) == leaf.message
    if leaf.signature:
        assert log.split_leaf(data) == (leaf.message, leaf.signature)


def _check_kek(data: bytes) -> None:
    """The name of a wrapping key is read by devices and server alike, and written as it was."""
    try:
        server = records.parse_kek(data)
    except ProblemError:
        server = b"refused"
    try:
        kek = KEK.decode(data)
    except FormatError:
        assert server == b"refused"
        return
    assert KEK.encode(kek) == data
    assert server == kek.grant_id


def _check_settings(data: bytes) -> None:
    """Both readers agree on switches, and on what a log of such comes to, 33 bytes an entry."""
    agreed("settings", {"bytes": data.hex()})
    entries = []
    for at in range(0, len(data) - 32, 33):
        version, switches = 1 + data[at], data[at + 1 : at + 33]
        entry = msgspec.structs.replace(_SETTLING, version=version, digest=switches)
        entries.append(ENTRY.serialize(entry).hex())
    agreed("settings-log", {"entries": entries})


def _settings_seeds() -> Iterator[bytes]:
    yield from _seeds("settings", "settings")
    known, unknown, kept = bytes(32), b"\3" + bytes(31), b"\1" + bytes(15) + b"\xff" * 16
    yield b"\0" + known + b"\1" + kept
    yield b"\0" + kept + b"\1" + known + b"\3" + known
    yield b"\0" + unknown + b"\1" + known


def _seeds(file: str, operation: str) -> Iterator[bytes]:
    return (bytes.fromhex(given["bytes"]) for given in given_of(file, operation))


def _kek_seeds() -> Iterator[bytes]:
    yield from (b"\0" + bytes(7) + b"\1", b"\0" + bytes(8), b"\1" + bytes(16), b"")


TARGETS = (
    *(
        Target(kind, partial(_check, kind), partial(_seeds, kind, "parse"), mutate=mutate_fields)
        for kind in LAYOUTS
    ),
    Target("leaf", _check_leaf, partial(_seeds, "leaf", "leaf"), 1024, mutate_fields),
    Target("settings", _check_settings, _settings_seeds, 256),
    Target("kek", _check_kek, _kek_seeds, 32),
)
