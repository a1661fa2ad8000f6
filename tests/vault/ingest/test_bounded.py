"""What a file costs to look at depends on its size, and not on what is in it."""

from __future__ import annotations

import sys
import tracemalloc
from contextlib import suppress
from stat import S_IFREG
from typing import TYPE_CHECKING

import msgspec
import pytest

from coffret_vault.ingest import IngestError, SourceKind, detect, read_source
from coffret_vault.ingest.front_matter import split_front_matter
from coffret_vault.ingest.limits import Limits
from coffret_vault.ingest.reading import decode_json, decode_top, json_lines, read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

MILLION = 1_000_000
MOST = 5
"""Bytes of memory for a byte of the file: the file, a mended copy, its first member, and a rest."""


def _numbered(first: bytes, last: bytes) -> bytes:
    members = b",".join(b'"%d":1' % number for number in range(90_000))
    return first + members + last


HOSTILE = {
    "many numbers": b"[" + b"1," * (MILLION // 2) + b"1]",
    "many objects": b"[" + b"{}," * (MILLION // 3) + b"{}]",
    "many lists in the first": b"[[" + b"[]," * (MILLION // 3) + b"[]]]",
    "many members": _numbered(b"{", b"}"),
    "many members in the first": _numbered(b"[{", b"}]"),
    "many escapes before half of an emoji": b'["' + b"\\n" * (MILLION // 2) + b'\\ud800"]',
    "many halves of emojis": b'[{"content":"' + b"\\ud800" * (MILLION // 6) + b'"}]',
    "nested deeply": b"[" * MILLION,
    "of a known kind": b'{"messages":[' + b"1," * (MILLION // 2) + b"1]}",
}
LINES = {
    "many empty lines": b"\n" * MILLION,
    "many short lines": b"x\n" * (MILLION // 2),
    "many members": _numbered(b"{", b"}\n"),
}


def _peak(call: Callable[[], object]) -> int:
    """The most bytes that are in use at a time while something is done."""
    tracemalloc.start()
    try:
        with suppress(IngestError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", HOSTILE)
def test_json_of_any_shape_is_looked_at_for_its_size(tmp_path: Path, shape: str) -> None:
    """Nothing is made of what does not tell kinds apart."""
    path = tmp_path / "a.json"
    path.write_bytes(HOSTILE[shape])
    assert _peak(lambda: detect(path)) < MOST * MILLION


@pytest.mark.parametrize("shape", LINES)
def test_lines_of_any_shape_are_looked_at_for_their_size(tmp_path: Path, shape: str) -> None:
    """Only the first line that is not blank is looked into."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES[shape])
    assert _peak(lambda: detect(path)) < MOST * MILLION


def test_taking_a_list_apart_costs_more() -> None:
    """Control: each item taken by itself, a file costs many times its size."""
    data = HOSTILE["many numbers"]
    assert _peak(lambda: decode_top(data)) > 6 * MOST * MILLION


def test_a_small_file_is_read_for_its_size(tmp_path: Path) -> None:
    """The cap is not what is made room for."""
    path = tmp_path / "a.json"
    path.write_bytes(b"[]")
    assert _peak(lambda: read_bytes(path, 256 << 20)) < MILLION


def test_a_file_that_says_it_has_no_size_is_read(tmp_path: Path) -> None:
    """What is longer than it said a moment ago is read as well, up to the cap."""
    path = tmp_path / "a.json"
    path.write_bytes(b"0123456789")
    for cap in (10, 11, 100):
        assert read_bytes(path, cap) == b"0123456789"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fstat", lambda _: type("Stat", (), {"st_size": 0, "st_mode": S_IFREG}))
        assert read_bytes(path, 10) == b"0123456789"
        with pytest.raises(IngestError):
            read_bytes(path, 9)


def test_members_of_any_value_tell_kinds_apart(tmp_path: Path) -> None:
    """A member counts by being there, whatever it is."""
    path = tmp_path / "a.json"
    for value in ("null", "0", '""', "{}"):
        path.write_text(f'{{"other": 1, "messages": {value}}}')
        assert detect(path) is SourceKind.CHAT


def test_halves_of_emojis_are_exchanged_where_they_stand() -> None:
    """Whole ones stay, and so does an escaped backslash before what looks like one."""
    text = rb'["\ud83d\ude00", "\ud83d", "\ude00x", "\\ud83d", "\n\ud83d"]'
    assert decode_json(text, list[str]) == ["😀", "�", "�x", "\\ud83d", "\n�"]


def test_lines_are_told_apart_by_their_ends_alone() -> None:
    """As before: numbers count from 1, blank lines too, and other ends of lines stay."""
    data = b"\xef\xbb\xbf{}\r\n\n \nlast\x0bline"
    assert list(json_lines(data)) == [(1, b"{}\r"), (4, b"last\x0bline")]
    assert msgspec.json.decode(b"{}\r") == {}


SLOW: dict[str, Callable[[int], str]] = {
    "a heading of many lines": lambda size: "a\n" * (size // 2) + "===\n",
    "one long heading": lambda size: "# " + "2024-01-01 " * (size // 11) + "\n\nx",
    "a heading of hashes": lambda size: "# a" + " #" * (size // 2),
    "many headings": lambda size: "# a\n" * (size // 4),
    "many days": lambda size: "# 2024-01-01\nx\n" * (size // 15),
    "long headings over short ones": lambda size: (
        "".join("#" * level + " " + "word " * (size // 50) + "\n" for level in range(1, 6))
        + "###### 2024-01-01\nx\n" * (size // 40)
    ),
}


def _calls(path: Path) -> int:
    """How many functions are called for a file's drafts."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        for _ in read_source(path, limits=Limits(section_chars=60)):
            pass
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.attack(61)
@pytest.mark.parametrize("slow", SLOW)
def test_work_grows_as_the_markdown_does(tmp_path: Path, slow: str) -> None:
    """Four times the text is about four times the work, whatever its headings are."""
    path = tmp_path / "note.md"
    few, many = 4_000, 16_000
    path.write_text(SLOW[slow](few), encoding="utf-8")
    _calls(path)  # what is remembered from now on
    before = _calls(path)
    path.write_text(SLOW[slow](many), encoding="utf-8")
    assert _calls(path) < 6 * before


def test_a_line_of_blanks_is_looked_at_once() -> None:
    """A name in front matter has no end that is looked for from each of its blanks."""
    blanks = "a: b: c\na" + " " * 60_000 + "x\n"
    assert split_front_matter(f"---\n{blanks}---\nBody")[0] == {}
    named = "a: b: c\na" + " " * 60_000 + ": x\n"
    assert split_front_matter(f"---\n{named}---\nBody") == ({"a": "x"}, "Body")
