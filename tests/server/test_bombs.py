"""Bombs for a server: bodies that are deep, long, or whose lengths lie, sent to every call."""

from __future__ import annotations

import json
import re
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coffret_server import strict
from coffret_server.gate import DATA_LIMIT
from coffret_server.problems import ProblemError
from coffret_server.wire import pae
from server.readers import READERS
from vectors.making.samples import LAYOUTS, SAMPLES

if TYPE_CHECKING:
    from server.stand import Stand

GIANT = 1 << 32
SLACK = 1 << 20
JSON_BOMBS = {
    "lists in lists": b"[" * 1_000_000,
    "objects in objects": b'{"a":' * 200_000,
    "a string of quotes that does not end": b'{"username":"' + b'\\"' * 500_000,
    "quotes and nothing else": b'"' * 1_000_001,
    "backslashes": b'"' + b"\\" * 1_000_001,
    "a number of a million digits": b'{"username":' + b"9" * 1_000_000 + b"}",
    "nested behind a string": b'["' + b"[" * 1_000_000,
}
OPEN = ("/accounts", "/auth/challenge", "/auth/login", "/auth/token", "/developers")


@pytest.mark.attack(61)
@pytest.mark.asyncio
@pytest.mark.parametrize("name", JSON_BOMBS)
async def test_a_bomb_to_a_call_that_anybody_may_make_is_refused(
    sqlite_stand: Stand, name: str
) -> None:
    """Every call that needs no token refuses it, and goes on answering."""
    headers = {"Content-Type": "application/json"}
    for path in OPEN:
        answer = await sqlite_stand.send("POST", path, JSON_BOMBS[name], headers=headers)
        assert answer.status_code in {400, 401, 413, 422}, path
    body = {"username": "ada", "kind": "passphrase"}
    assert (await sqlite_stand.post("/auth/challenge", body)).status_code == 200


@pytest.mark.attack(61)
@pytest.mark.asyncio
async def test_a_body_that_says_it_has_four_gigabytes_is_not_waited_for(
    sqlite_stand: Stand,
) -> None:
    """The length that a request names is enough to refuse it, whatever comes."""
    for length in (DATA_LIMIT + 1, GIANT, 1 << 62):
        headers = {"Content-Length": str(length), "Content-Type": "application/msgpack"}
        answer = await sqlite_stand.send("POST", "/log", b"", headers=headers)
        assert answer.status_code == 413


@pytest.mark.attack(61)
@pytest.mark.parametrize("kind", READERS)
def test_objects_whose_lengths_lie_cost_nothing(kind: str) -> None:
    """No length in an object is believed: it is refused with no more memory than it has itself."""
    label = b"coffret/v1/" + kind.encode()
    start = pae.u64(len(label)) + label
    for fields in range(2, 16):
        head = start + pae.u64(fields) + pae.u64(1) + pae.SUITE
        bombs = (
            head + pae.u64(GIANT) + b"x",
            head + pae.u64((1 << 64) - 1),
            head + (pae.u64(16) + pae.u64(GIANT) * 2) * (fields - 1),
            head + (pae.u64(1 << 16) + bytes(1 << 16)) * (fields - 1),
        )
        for bomb in bombs:
            tracemalloc.start()
            with pytest.raises(ProblemError):
                READERS[kind](bomb)
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert used <= 2 * len(bomb) + SLACK


@pytest.mark.parametrize("kind", READERS)
def test_each_reader_reads_the_kind_that_the_bombs_are_of(kind: str) -> None:
    """What is refused above is not refused for its name: a whole object of that name is read."""
    READERS[kind](LAYOUTS[kind].serialize(SAMPLES[kind]))


VALUES = st.recursive(
    st.text(alphabet='"\\[]{},ab', max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('a"\\[', max_size=4), inner)
    ),
    max_leaves=20,
)


def _parts(value: object) -> int:
    """The brackets and commas that a value is written with."""
    if isinstance(value, str):
        return 0
    assert isinstance(value, list | dict)
    inner = value.values() if isinstance(value, dict) else value
    return 2 + max(len(value) - 1, 0) + sum(map(_parts, inner))


@pytest.mark.attack(61)
@given(VALUES)
def test_no_part_is_in_a_string(value: object) -> None:
    """What stands outside of strings is what a decoder finds there, whatever they hold."""
    outside = strict._outside(json.dumps(value).encode(), strict.PARTS)
    assert len(re.findall(rb"[\[\]{},]", outside)) == _parts(value)


@pytest.mark.attack(61)
@pytest.mark.parametrize("escape", [rb"\\", rb"\"", rb"\u0041", rb"\/"])
def test_escapes_without_end_are_not_decoded(
    monkeypatch: pytest.MonkeyPatch, escape: bytes
) -> None:
    """A body of escapes, which take longest of all, is refused by their number alone.

    Thirty megabytes of them would hold up everybody for most of a second.
    """
    fits = strict.ESCAPES // escape.count(b"\\")
    assert strict.loads(b'"' + escape * fits + b'"') == json.loads(b'"' + escape * fits + b'"')
    monkeypatch.setattr("coffret_server.strict.json", None)
    with pytest.raises(ProblemError, match="too many escapes"):
        strict.loads(b'"' + escape * (fits + 1) + b'"')


@pytest.mark.control(61)
def test_a_string_that_has_to_end_is_tried_at_every_quote() -> None:
    """Control: the plain expression for a string matches none that does not end."""
    plain = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
    bomb = b'"' + b'\\"' * 50
    tries = sum(plain.match(bomb, at) is None for at in range(len(bomb)) if bomb[at] == 34)
    assert tries > 2
    assert plain.match(bomb) is None
    assert strict._outside(bomb, strict.PARTS) == b""
