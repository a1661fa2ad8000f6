"""Templates: the fast way to read and write, beside the general one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coffret_vault.errors import FormatError
from coffret_vault.formats.author import OWNER, Author
from coffret_vault.formats.entry import ENTRY, KINDS, Entry, parse_leaf, serialize_entry
from coffret_vault.formats.memory import (
    HEADER,
    KEK,
    Header,
    Kek,
    memory_key_wrap_header,
    parse_header,
    peek_header,
    serialize_header,
)
from coffret_vault.formats.pae import pae, u64
from coffret_vault.formats.template import Template

bounded = settings(max_examples=200, deadline=None)
ids = st.binary(min_size=16, max_size=16) | st.binary(max_size=17)
numbers = st.integers(0, 3) | st.integers(-1, 1 << 64)
titles = st.text(max_size=8) | st.sampled_from(["\ud800", "x" * 513, "é" * 257, "\0"])
tags = st.frozensets(st.text(max_size=3) | st.just("y" * 65), max_size=5)
authors = st.just(OWNER) | st.builds(Author, st.binary(min_size=16, max_size=16))
headers = st.builds(
    Header,
    account_id=ids,
    memory_id=ids,
    version=numbers,
    key_number=numbers,
    author=authors,
    created=numbers,
    updated=numbers,
    sealed=st.booleans(),
    title=titles,
    importance=st.none() | st.integers(-1, 1_000_001),
    tags=tags,
)
entries = st.builds(
    Entry,
    account_id=ids,
    kind=st.just("put") | st.sampled_from([*sorted(KINDS), "other"]),
    subject=ids,
    version=numbers,
    digest=st.binary(min_size=32, max_size=32) | st.binary(max_size=33),
    author=authors,
    time=numbers,
)


@bounded
@given(headers)
def test_headers_are_written_alike(header: Header) -> None:
    """The fast writer gives the general one's bytes, and refuses what that refuses."""
    try:
        expected = HEADER.serialize(header)
    except FormatError:
        with pytest.raises(FormatError):
            serialize_header(header)
        return
    assert serialize_header(header) == expected
    assert HEADER.serialize(HEADER.parse(expected)) == expected
    assert (peek_header(expected) is not None) == header.author.is_owner


@bounded
@given(headers, st.integers(0, 400), st.integers(0, 255), st.sampled_from(["put", "cut", "add"]))
def test_headers_are_read_alike(header: Header, place: int, byte: int, how: str) -> None:
    """The fast reader gives what the general one gives, of headers and of such as are almost."""
    try:
        data = bytearray(serialize_header(header))
    except FormatError:
        return
    place %= len(data)
    if how == "put":
        data[place] = byte
    elif how == "cut":
        del data[place]
    else:
        data.insert(place, byte)
    for each in (HEADER.serialize(header), bytes(data)):
        try:
            expected = HEADER.parse(each)
        except FormatError as error:
            with pytest.raises(type(error)):
                parse_header(each)
        else:
            assert parse_header(each) == expected


@bounded
@given(entries)
def test_entries_are_written_alike(entry: Entry) -> None:
    """The fast writer gives the general one's bytes, and refuses what that refuses."""
    try:
        expected = ENTRY.serialize(entry)
    except FormatError:
        with pytest.raises(FormatError):
            serialize_entry(entry)
        return
    assert serialize_entry(entry) == expected
    if entry.author.is_owner:
        assert parse_leaf(expected).entry == entry


@bounded
@given(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
    st.integers(0, (1 << 64) - 1),
    st.builds(Kek, generation=st.integers(1, (1 << 64) - 1))
    | st.builds(Kek, grant_id=st.binary(min_size=16, max_size=16)),
)
def test_headers_of_wraps_are_written_alike(
    account: bytes, memory: bytes, number: int, name: Kek
) -> None:
    """The header of a wrapped key is the PAE that the specification says."""
    kek = KEK.encode(name)
    expected = pae("memory-key-wrap", account, memory, u64(number), kek)
    assert memory_key_wrap_header(account, memory, number, kek) == expected


shapes = st.lists(st.integers(0, 4) | st.binary(max_size=3), min_size=1, max_size=5)


@bounded
@given(shapes, st.lists(st.binary(max_size=3), max_size=2), st.data())
def test_a_template_is_the_general_encoding(
    shape: list[int | bytes], more: list[bytes], data: st.DataObject
) -> None:
    """What a template writes is the PAE of its fields, and it reads them back."""
    template = Template("example", shape, more=len(more) or None)
    sizes = [item for item in shape if isinstance(item, int)]
    given_ = [data.draw(st.binary(min_size=size, max_size=size)) for size in sizes]
    rest = iter(given_)
    fields = [item if isinstance(item, bytes) else next(rest) for item in shape]
    written = template.write(given_, more)
    assert written == pae("example", *fields, *more)
    assert template.read(written) == tuple(given_)


@bounded
@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=2), max_size=2))
def test_a_template_writes_nothing_else(fields: list[bytes], more: list[bytes]) -> None:
    """Fields of another length, or another number of them, are refused."""
    template = Template("example", (2, b"x", 3), more=1)
    if [len(field) for field in fields] == [2, 3] and len(more) == 1:
        assert template.write(fields, more)
    else:
        with pytest.raises(FormatError):
            template.write(fields, more)
