"""Fields of objects: what they take, on the way out as on the way in."""

import unicodedata
from typing import Any

import msgspec
import pytest

from coffret_vault.errors import FormatError, UnknownSuiteError
from coffret_vault.formats.author import AUTHOR, OWNER, Author
from coffret_vault.formats.layout import (
    FLAG,
    ID,
    U64,
    Codec,
    Layout,
    fixed,
    limited,
    option,
    parse_id,
    read_text,
    set_of,
    text,
    write_text,
)
from coffret_vault.formats.pae import pae, read_list, u64
from vectors.making.samples import LAYOUTS, SAMPLES


class Pair(msgspec.Struct, frozen=True):
    """A struct for these tests."""

    name: str
    number: int


def _refuse_13(pair: Pair) -> None:
    if pair.number == 13:
        message = "thirteen"
        raise FormatError(message)


PAIR = Layout("pair", Pair, (("name", text(8)), ("number", U64)), _refuse_13)


def test_an_object_goes_out_and_comes_back() -> None:
    """What is serialised parses to the same, field by field in the given order."""
    assert PAIR.serialize(Pair("a", 5)) == pae("pair", b"a", u64(5))
    assert PAIR.parse(pae("pair", b"a", u64(5))) == Pair("a", 5)


def test_the_check_holds_both_ways() -> None:
    """What a check refuses is neither written nor read."""
    with pytest.raises(FormatError, match="thirteen"):
        PAIR.serialize(Pair("a", 13))
    with pytest.raises(FormatError, match="thirteen"):
        PAIR.parse(pae("pair", b"a", u64(13)))


def test_an_unknown_suite_is_said_before_anything_behind_it() -> None:
    """Another suite is named as such, although the fields behind it are nonsense."""
    at = len(pae("pair")) - 1
    good = pae("pair", b"a", u64(5))
    with pytest.raises(UnknownSuiteError):
        PAIR.parse(good[:at] + b"\7" + b"nonsense")


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (fixed(3), b"ab"),
        (limited(3), b"abcd"),
        (text(3), "abcd"),
        (text(3), "\u00e9\u00e9"),
        (text(9), "a\0b"),
        (text(9), "\u00e9\0"),
        (text(9), "\ud800"),
        (U64, -1),
        (U64, 2**64),
        (set_of(text(9), most=1), frozenset("ab")),
        (option(ID), b"short"),
        (AUTHOR, Author(b"short")),
    ],
)
def test_what_cannot_be_read_is_not_written(codec: Codec[Any], value: Any) -> None:
    """A value over its limits is refused on the way out, not only by the reader."""
    with pytest.raises(FormatError):
        codec.encode(value)


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (text(9), ""),
        (text(6), "\u4e16\u754c"),
        (U64, 0),
        (U64, 2**64 - 1),
        (FLAG, True),
        (FLAG, False),
        (set_of(text(9), most=3), frozenset(("b", "a", "\u00e9"))),
        (option(U64), None),
        (option(U64), 0),
        (AUTHOR, OWNER),
        (AUTHOR, Author(bytes(16))),
    ],
)
def test_values_come_back(codec: Codec[Any], value: Any) -> None:
    """Every value within its limits is read as it was written."""
    assert codec.decode(codec.encode(value)) == value


def test_text_is_written_in_nfc_and_read_in_nothing_else() -> None:
    """However a person composed it, a text has one form; the other is not read."""
    composed, decomposed = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    assert write_text(composed) == write_text(decomposed) == composed.encode()
    assert read_text(composed.encode()) == composed
    with pytest.raises(FormatError):
        read_text(decomposed.encode())


def test_a_set_of_texts_that_are_one_in_nfc_has_one_item() -> None:
    """Two spellings of a tag are one tag."""
    codec = set_of(text(9), most=9)
    packed = codec.encode(frozenset(("\u00e9", "e\u0301")))
    assert codec.decode(packed) == frozenset(("\u00e9",))


def test_a_long_list_is_refused_by_its_count() -> None:
    """A list that claims more items than are allowed is not walked through."""
    with pytest.raises(FormatError, match="too many"):
        read_list(u64(2**63), most=10)


def test_the_owner_wrote_what_no_app_did() -> None:
    """An author without an app is the owner."""
    assert OWNER.is_owner
    assert not Author(bytes(16)).is_owner


@pytest.mark.parametrize("value", ["", "no", "0" * 36, "-" * 36, "0" * 32])
def test_ids_that_are_none(value: str) -> None:
    """What is not a hyphenated UUID is malformed."""
    with pytest.raises(FormatError):
        parse_id(value)


@pytest.mark.parametrize("kind", sorted(SAMPLES))
def test_a_layout_has_the_fields_of_its_struct_in_order(kind: str) -> None:
    """Struct and wire agree on the order, which parsing relies on."""
    names = [name for name, _ in LAYOUTS[kind].fields]
    assert list(SAMPLES[kind].__struct_fields__) == names


def test_the_wrong_number_of_bytes_in_a_number_is_refused() -> None:
    """An integer has eight bytes."""
    for size in (0, 7, 9):
        with pytest.raises(FormatError):
            U64.decode(bytes(size))
