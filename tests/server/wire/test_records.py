"""Envelopes by their form."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coffret_server.problems import ProblemError
from coffret_server.wire import pae, records
from server import forge


def padme(size: int) -> int:
    """Padmé's length, as the paper writes it."""
    exponent = size.bit_length() - 1
    spare = exponent - (exponent.bit_length())
    mask = (1 << spare) - 1
    return (size + mask) & ~mask


def lengths() -> set[int]:
    """Every frame length up to 40,000 bytes that padding gives."""
    steps = (256, 512, 1_024, 2_048)
    found = set()
    for size in range(8, 40_000):
        found.add(next((step for step in steps if size <= step), padme(size)))
    return found


def test_exactly_the_padded_lengths_are_accepted() -> None:
    """Of all lengths up to 40,000 those that padding gives are accepted, and no other."""
    right = lengths()
    for size in range(38_000):
        envelope = b"\x01" + bytes(80 + size)
        if size in right:
            records.check_envelope(envelope)
            continue
        with pytest.raises(ProblemError):
            records.check_envelope(envelope)


def test_a_digest_is_that_of_the_specification() -> None:
    """The digest over header and envelope agrees with an independent writer."""
    record = forge.Owner().memory()
    assert records.digest(record[0], record[1]) == forge.digest_of(record)


def test_a_long_header_is_too_large() -> None:
    """A header beyond 16 KiB is refused before it is read."""
    with pytest.raises(ProblemError) as caught:
        records.parse_header(bytes(16 * 1024 + 1))
    assert caught.value.code == "too-large"


@pytest.mark.parametrize("kek", [b"", b"\0", bytes(9), b"\1" + bytes(15), b"\2" + b"\1" * 8])
def test_a_kek_that_names_nothing_is_malformed(kek: bytes) -> None:
    """A kek is a generation from one, or a grant."""
    with pytest.raises(ProblemError):
        records.parse_kek(kek)


names = st.text(max_size=6) | st.sampled_from(
    ["", "é", "e\u0301", "\0", "\x85", "\u200b", "x" * 65]
)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "account": st.binary(min_size=16, max_size=16),
    "memory": st.binary(min_size=16, max_size=16),
    "numbers": st.tuples(st.integers(9, 99), *[st.integers(1, 9)] * 2, st.integers(9, 2**63 - 1)),
    "author": st.just(b"\0"),
    "sealed": st.just(b"\0"),
    "title": st.sampled_from(["", "Trip", "\u00e9"]),
    "importance": st.lists(st.integers(0, 1_000_000), max_size=1),
    "tags": st.lists(st.sampled_from(["a", "b", "\u00e9"]), max_size=3),
}
ODD: dict[str, st.SearchStrategy[Any]] = {
    "account": st.binary(max_size=17),
    "memory": st.binary(max_size=17),
    "numbers": st.tuples(*[st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1])] * 4),
    "author": st.sampled_from([b"\1", b"\1" + bytes(16), b""]),
    "sealed": st.sampled_from([b"\1", b"\2", b"\xff", b""]),
    "title": names,
    "importance": st.lists(st.integers(0, 1_000_001), max_size=2),
    "tags": st.lists(names, max_size=4),
}
fields = st.tuples(
    st.fixed_dictionaries(GOOD),
    st.sampled_from(sorted(ODD)).flatmap(lambda name: st.fixed_dictionaries({name: ODD[name]})),
).map(lambda pair: pair[0] | pair[1])


def written(values: dict[str, Any]) -> bytes:
    """A header of these fields, whether it may be or not."""
    version, number, created, updated = map(pae.u64, values["numbers"])
    importance = [pae.u64(8) + pae.u64(value) for value in values["importance"]]
    tags = sorted({tag.encode() for tag in values["tags"]})
    packed = [pae.u64(len(tag)) + tag for tag in tags]
    return records.HEADER.build(
        values["account"], values["memory"], version, number, values["author"], created, updated,
        values["sealed"], values["title"].encode(), pae.u64(len(importance)) + b"".join(importance),
        pae.u64(len(packed)) + b"".join(packed),
    )  # fmt: skip


def outcome(read: Callable[[bytes], object], data: bytes) -> object:
    """What is read, or the code of the refusal."""
    try:
        return read(data)
    except ProblemError as refusal:
        return refusal.code


def by_field(data: bytes) -> records.Header:
    """Read as every header was read, field by field."""
    header = records._read_any(data)
    records._check(header)
    return header


@settings(max_examples=400, deadline=None)
@given(fields, st.data())
def test_headers_are_read_alike_by_place_and_by_field(
    values: dict[str, Any], data: st.DataObject
) -> None:
    """The fast reader finds what the general one finds and refuses what it refuses."""
    header = written(values)
    assert outcome(records.parse_header, header) == outcome(by_field, header)
    at = data.draw(st.integers(0, len(header) - 1))
    flipped = bytearray(header)
    flipped[at] ^= data.draw(st.integers(1, 255))
    inserted = data.draw(st.binary(min_size=1, max_size=9))
    for changed in (bytes(flipped), header[:at], header[:at] + inserted + header[at:]):
        assert outcome(records.parse_header, changed) == outcome(by_field, changed)


def by_option(data: bytes) -> int | None:
    """An importance as the option of a number that it is."""
    item = pae.read_option(data)
    return None if item is None else pae.read_u64(item)


@pytest.mark.parametrize("value", [0, 7, records.IMPORTANCE_LIMIT])
def test_an_importance_is_read_as_any_option_of_a_number(value: int) -> None:
    """Whichever of its bytes is another: the same number, or malformed for both."""
    data = pae.u64(1) + pae.u64(8) + pae.u64(value)
    assert records._importance(data) == by_option(data) == value
    assert records._importance(pae.u64(0)) is by_option(pae.u64(0)) is None
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        expected = outcome(by_option, changed)
        if isinstance(expected, int) and expected > records.IMPORTANCE_LIMIT:
            expected = "malformed"
        assert outcome(records._importance, changed) == expected
    for changed in (data[:-1], data + b"\0", pae.u64(0) + data[8:], b""):
        assert outcome(records._importance, changed) == outcome(by_option, changed) == "malformed"


@pytest.mark.parametrize("shown", [{"title": "Trip"}, {"tags": ["a"]}, {"importance": [7]}])
def test_a_sealed_memory_shows_nothing(shown: dict[str, Any]) -> None:
    """One that says it is sealed has neither a title nor a tag nor an importance in the clear."""
    values: dict[str, Any] = {
        "account": bytes(16), "memory": bytes(16), "numbers": [1, 1, 5, 6], "author": b"\0",
        "sealed": b"\1", "title": "", "importance": [], "tags": [],
    }  # fmt: skip
    assert records.parse_header(written(values)).sealed
    assert outcome(records.parse_header, written(values | shown)) == "malformed"


def test_an_owners_header_is_read_by_place() -> None:
    """A header as devices write them takes the fast way, whatever it shows."""
    values: dict[str, Any] = {
        "account": bytes(16), "memory": bytes(16), "numbers": [1, 1, 5, 6], "author": b"\0",
        "sealed": b"\0", "title": "Trip", "importance": [7], "tags": ["a", "é"],
    }  # fmt: skip
    changes: list[dict[str, Any]] = [{}, {"importance": []}, {"tags": []}, {"title": ""}]
    for change in changes:
        header = written(values | change)
        found = records._read_own(header)
        assert found is not None
        assert found == by_field(header)


@pytest.mark.parametrize("numbers", [(2, 3), (1, 2**63 - 1), (1, 0), (0, 0)])
@pytest.mark.parametrize("author", [b"\0", b"\1" + bytes(16)])
def test_no_version_begins_two_keys(author: bytes, numbers: tuple[int, int]) -> None:
    """A key number above its version is malformed, whoever wrote it: no next one could be kept."""
    values: dict[str, Any] = {
        "account": bytes(16), "memory": bytes(16), "numbers": [2, 2, 5, 6], "author": author,
        "sealed": b"\0", "title": "Trip", "importance": [7], "tags": [],
    }  # fmt: skip
    assert records.parse_header(written(values)).key_number == 2
    with pytest.raises(ProblemError) as caught:
        records.parse_header(written(values | {"numbers": [*numbers, 5, 6]}))
    assert caught.value.code == "malformed"
