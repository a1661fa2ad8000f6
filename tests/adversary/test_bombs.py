"""Bombs for every parser: lengths that lie, lists without end, nesting without end.

What is measured is memory, as a bound over the size of the bomb; and that each is refused.
"""

from __future__ import annotations

import io
import tracemalloc
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from coffret.cli import agent_wire
from coffret.flows.http import Response, decode_json, decode_msgpack
from coffret.flows.sync import _Leaves, _Page
from coffret_vault.errors import CodeTypoError, CoffretError
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.codes import SECRET_KEY, read_code
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.formats.memory import parse_payload
from coffret_vault.formats.padding import unpad
from coffret_vault.formats.pae import SUITE, read_list, read_set, u64
from coffret_vault.ingest import read_source
from coffret_vault.ingest.limits import Limits
from coffret_vault.search import SearchIndex, snapshot
from coffret_vault.search.container import unpack
from search_reference import HashingEmbedder
from vectors.making.samples import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GIANT = 1 << 32
SLACK = 1 << 20


def peak(parse: Callable[..., object], *given: Any, **named: Any) -> int:
    """The most memory that a parser asked for at once, which must refuse."""
    tracemalloc.start()
    try:
        with pytest.raises(CoffretError):
            parse(*given, **named)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def beginning(purpose: str, fields: int) -> bytes:
    """All of an object that stands before its first field."""
    label = b"coffret/v1/" + purpose.encode()
    return u64(len(label)) + label + u64(fields + 1) + u64(1) + bytes([SUITE])


def lying(purpose: str, fields: int) -> dict[str, bytes]:
    """Objects of a kind whose lengths are not those of what follows."""
    start = beginning(purpose, fields)
    label = b"coffret/v1/" + purpose.encode()
    return {
        "a field of 4 GiB": start + u64(GIANT) + b"x",
        "a field of 2^64": start + u64((1 << 64) - 1) + b"x",
        "a later field of 4 GiB": start + u64(1) + b"x" + u64(GIANT),
        "4,294,967,296 fields": u64(len(label)) + label + u64(GIANT) + u64(1) + bytes([SUITE]),
        "a label of 4 GiB": u64(GIANT) + label,
        "fields of lists of 4 GiB": start + (u64(16) + u64(GIANT) + u64(GIANT)) * fields,
        "fields of a megabyte": start + (u64(1 << 20) + bytes(1 << 20)) * fields,
        "nothing but zeros": bytes(1 << 20),
        "empty": b"",
    }


@pytest.mark.attack(61)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_objects_whose_lengths_lie_are_refused_cheaply(layout: Any) -> None:
    """Every kind of object: no length is believed, and nothing is put by for it."""
    for name, bomb in lying(layout.purpose, len(layout.fields)).items():
        assert peak(layout.parse, bomb) <= 2 * len(bomb) + SLACK, name


LISTS = {
    "a count of 4 GiB": u64(GIANT),
    "a count of 2^64": u64((1 << 64) - 1),
    "many items that are not there": u64(65_536),
    "an item of 4 GiB": u64(1) + u64(GIANT),
    "a million empty items": u64(1_000_000) + u64(0) * 1_000_000,
}


@pytest.mark.attack(61)
@pytest.mark.parametrize("name", LISTS)
def test_lists_whose_counts_lie_are_refused_cheaply(name: str) -> None:
    """A count is compared with its limit, and an item with what there is, before anything else."""
    bomb = LISTS[name]
    for read in (read_list, read_set):
        assert peak(read, bomb, most=65_536) <= SLACK


@pytest.mark.attack(61)
def test_texts_frames_and_dumps_without_end_are_refused_cheaply() -> None:
    """Heads, leaves, codes, frames, payloads and index dumps of absurd sizes cost what they are."""
    long = b"a" * (4 << 20)
    bombs: dict[str, tuple[int, Callable[[], object]]] = {
        "head": (len(long), lambda: parse_head(long.decode())),
        "lines of a head": (1 << 20, lambda: parse_head("\n" * (1 << 20))),
        "leaf": (len(long), lambda: parse_leaf(long)),
        "frame": (16, lambda: unpad(u64(GIANT) + bytes(248))),
        "payload": (len(long), lambda: parse_payload(long)),
        "nested payload": (1 << 20, lambda: parse_payload(b"\x91" * (1 << 20))),
        "payload's list": (5, lambda: parse_payload(b"\xdd\xff\xff\xff\xff")),
        "payload's map": (5, lambda: parse_payload(b"\xdf\xff\xff\xff\xff")),
        "payload's bytes": (5, lambda: parse_payload(b"\xc6\xff\xff\xff\xff")),
        "index": (len(long), lambda: SearchIndex.restore(long, HashingEmbedder())),
        "index's header": (
            40,
            lambda: unpack(b"COFFRET-SEARCH-1" + u64(GIANT) + u64(GIANT), snapshot._Header),
        ),
    }
    for name, (size, parse) in bombs.items():
        assert peak(parse) <= 4 * size + SLACK, name
    with pytest.raises(CodeTypoError):
        read_code(SECRET_KEY, "A" * (1 << 20))


# -- what a server answers ----------------------------------------------------------------------

KINDS: tuple[Any, ...] = (_Page, _Leaves, dict[str, Any], list[dict[str, Any]], list[bytes])
JSON_BOMBS = {
    "lists in lists": b"[" * 1_000_000,
    "objects in objects": b'{"a":' * 200_000,
    "closed": b"[" * 100_000 + b"]" * 100_000,
    "a number of a million digits": b'{"size":' + b"9" * 1_000_000 + b"}",
    "a string that does not end": b'{"head":"' + b'\\"' * 500_000,
    "an escape in the end": b'{"head":"\\',
}
PACKED_BOMBS = {
    "lists in lists": b"\x91" * 1_000_000,
    "maps in maps": b"\x81\xa1a" * 300_000,
    "a list of four thousand million": b"\xdd\xff\xff\xff\xff",
    "a map of as many": b"\xdf\xff\xff\xff\xff",
    "a string of 4 GiB": b"\xdb\xff\xff\xff\xff",
    "bytes of 4 GiB": b"\xc6\xff\xff\xff\xff",
    "an extension of 4 GiB": b"\xc9\xff\xff\xff\xff\x01",
    "a page of as many items": b"\x93\x01\xa0\xdd\xff\xff\xff\xff",
    "leaves of as many": b"\x83\xa4size\x01\xa4head\xa0\xa6leaves\xdd\xff\xff\xff\xff",
}


@pytest.mark.attack(61)
@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_answers_that_are_bombs_are_refused_cheaply(kind: Any) -> None:
    """JSON and MessagePack, deep or with counts that lie, as any kind of answer."""
    for name, body in JSON_BOMBS.items():
        used = peak(decode_json, Response(200, {}, body), kind)
        assert used <= 8 * len(body) + SLACK, name
    for name, body in PACKED_BOMBS.items():
        used = peak(decode_msgpack, Response(200, {}, body), kind)
        assert used <= 8 * len(body) + SLACK, name


@pytest.mark.attack(61)
def test_the_agent_s_messages_are_bounded() -> None:
    """A frame that says it has 4 GiB is not waited for, nor is room made for it."""
    for frame in (b"\xff\xff\xff\xff" + b"x" * 100, b"\x7f\xff\xff\xff", b"\x00", b""):
        for read in (agent_wire.read_start, agent_wire.read_asked, agent_wire.read_told):
            assert peak(read, io.BytesIO(frame)) <= SLACK


@pytest.mark.attack(61)
def test_imports_that_are_bombs_are_refused_cheaply(tmp_path: Path) -> None:
    """Exports to import that are deep, or that do not end, are an error or are skipped."""
    for number, (name, body) in enumerate(JSON_BOMBS.items()):
        path = tmp_path / f"conversations-{number}.json"
        path.write_bytes(body)
        tracemalloc.start()
        try:
            found = [
                item
                for item in read_source(path, limits=Limits(max_json_bytes=4 * SLACK))
                if getattr(item, "content", None)
            ]
        except CoffretError:
            found = []
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found == [], name
        assert used <= 100 * len(body) + 8 * SLACK, name


def believing(data: bytes) -> bytes:
    """Reads a length, makes room for it, and fills the room."""
    room = bytearray(int.from_bytes(data[:8], "big"))
    room[: len(data) - 8] = data[8:]
    if len(data) - 8 != len(room):
        raise CodeTypoError
    return bytes(room)


@pytest.mark.control(61)
def test_a_parser_that_believes_a_length_makes_room_for_it() -> None:
    """Control: the same measure finds a reader that makes room before it looks."""
    assert peak(lambda: believing(u64(64 << 20) + b"x")) >= 64 << 20
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(b"\xdd\xff\xff\xff\xff")
