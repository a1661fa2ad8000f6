"""The strict reader of PAE accepts one encoding and nothing near it."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coffret_server.problems import ProblemError
from coffret_server.wire import pae
from server import forge

LAYOUT = pae.Layout("thing", 2)


def code_of(data: bytes) -> str:
    """The code with which bytes are refused, or the empty text."""
    try:
        LAYOUT.split(data)
    except ProblemError as problem:
        return problem.code
    return ""


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_fields_come_back(first: bytes, second: bytes) -> None:
    """What an independent writer encoded is read as the same fields, and built the same."""
    data = forge.pae("thing", first, second)
    assert LAYOUT.split(data) == [first, second]
    assert LAYOUT.build(first, second) == data


@given(st.binary(max_size=16), st.binary(max_size=16), st.data())
def test_any_change_of_the_frame_is_refused(
    first: bytes, second: bytes, data: st.DataObject
) -> None:
    """A flipped bit in a label, count or length never gives the same fields."""
    good = forge.pae("thing", first, second)
    at = data.draw(st.integers(0, len(good) * 8 - 1))
    bad = bytearray(good)
    bad[at // 8] ^= 1 << at % 8
    try:
        fields = LAYOUT.split(bytes(bad))
    except ProblemError:
        return
    assert fields != [first, second]


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(data: bytes) -> None:
    """Whatever comes is fields or a refusal."""
    assert code_of(data) in {"", "malformed", "unknown-suite"}


REFUSED = {
    "nothing": (b"", "malformed"),
    "another label": (forge.pae("thong", b"", b""), "malformed"),
    "a field more": (forge.pae("thing", b"", b"", b""), "malformed"),
    "a field fewer": (forge.pae("thing", b""), "malformed"),
    "a byte more": (forge.pae("thing", b"", b"") + b"\0", "malformed"),
    "a byte fewer": (forge.pae("thing", b"", b"x")[:-1], "malformed"),
    "another suite": (forge.pae("thing", b"", b"", suite=b"\2"), "unknown-suite"),
    "no suite": (forge.pae("thing", b"", b"", suite=b""), "malformed"),
    "another suite before rubbish": (
        forge.pae("thing", b"", b"", suite=b"\2")[:-9] + b"rubbish",
        "unknown-suite",
    ),
    "an endless length": (
        forge.pae("thing", b"", b"")[:-16] + b"\xff" * 8 + bytes(8),
        "malformed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_the_one_form_is_refused(name: str) -> None:
    """Each defect has its class."""
    data, expected = REFUSED[name]
    assert code_of(data) == expected


READERS: dict[str, Callable[[], object]] = {
    "u64 short": lambda: pae.read_u64(bytes(7)),
    "time beyond 63 bits": lambda: pae.read_time(b"\x80" + bytes(7)),
    "flag of two": lambda: pae.read_flag(b"\2"),
    "flag of two bytes": lambda: pae.read_flag(b"\0\1"),
    "id of fifteen": lambda: pae.read_id(bytes(15)),
    "text not UTF-8": lambda: pae.read_text(b"\xff", 9),
    "text of surrogates": lambda: pae.read_text(b"\xed\xa0\x80", 9),
    "text not in NFC": lambda: pae.read_text("e\u0301".encode(), 9),
    "text with U+0000": lambda: pae.read_text(b"a\0", 9),
    "text too long": lambda: pae.read_text(b"abc", 2),
    "list cut": lambda: pae.read_list(forge.listing(b"a")[:-1], 9),
    "list with more": lambda: pae.read_list(forge.listing(b"a") + b"x", 9),
    "list empty of bytes": lambda: pae.read_list(b"", 9),
    "list too long": lambda: pae.read_list(forge.listing(b"", b""), 1),
    "list of endless count": lambda: pae.read_list(b"\xff" * 8, 9),
    "set unsorted": lambda: pae.read_set(forge.listing(b"b", b"a"), 9),
    "set repeated": lambda: pae.read_set(forge.listing(b"a", b"a"), 9),
    "option of two": lambda: pae.read_option(forge.listing(b"a", b"b")),
    "author of two": lambda: pae.read_author(b"\2"),
    "author without id": lambda: pae.read_author(b"\1"),
    "owner with id": lambda: pae.read_author(bytes(17)),
}


@pytest.mark.parametrize("name", READERS)
def test_a_field_of_a_wrong_form_is_malformed(name: str) -> None:
    """Each kind of field refuses what is not its one form."""
    with pytest.raises(ProblemError) as caught:
        READERS[name]()
    assert caught.value.code == "malformed"
