"""Memories into records and back."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from coffret_vault.errors import InputError, OpenError, TooLargeError
from coffret_vault.formats.author import OWNER, Author
from coffret_vault.formats.memory import HEADER, Kek
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.records.memory import Fields, Memory, checked, from_micros, to_micros
from coffret_vault.records.seal import (
    Stamp,
    Wrapping,
    make_record,
    open_version,
    to_memory,
    unwrap_memory_key,
    written_memory,
)

KEY, KEK = SecretBytes(b"k" * 32), SecretBytes(b"w" * 32)
STAMP = Stamp(b"a" * 16, b"m" * 16, 3, 2, Author(b"p" * 16), 1_000, 2_000)
FULL = Fields(
    content="content",
    title="title",
    summary="summary",
    type="goal",
    tags=("a", "b"),
    importance=0.25,
    confidence=1.0,
    source="source",
    labels={"user": "ana"},
    metadata={"n": [1, 2.5, None, b"x", {"deep": True}]},
    sealed=False,
    valid_from=datetime(2020, 1, 1, tzinfo=UTC),
    valid_until=datetime(2021, 1, 1, tzinfo=UTC),
    provenance={"by": "hand"},
)
OURS = Wrapping(Kek(generation=1), KEK)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_record_opens_to_what_was_sealed(sealed: bool) -> None:  # noqa: FBT001 - a case
    """Every field comes back, and what was returned on writing is what is read later."""
    fields = msgspec.structs.replace(FULL, sealed=sealed)
    record = make_record(STAMP, fields, KEY, OURS, random=os.urandom)
    header = HEADER.parse(record.header)
    key = unwrap_memory_key(header, record.wrap, OURS)
    read = to_memory(header, open_version(record.header, record.envelope, key))
    assert read == written_memory(STAMP, fields)
    assert read.fields() == fields
    assert (read.version, read.author[:8]) == (3, "70707070")


def test_a_sealed_memory_shows_nothing() -> None:
    """In sealed visibility title, tags and importance are in no byte that the server sees."""
    fields = msgspec.structs.replace(FULL, title="visible?", tags=("tagged?",), sealed=True)
    record = make_record(STAMP, fields, KEY, OURS, random=os.urandom)
    assert b"visible?" not in record.header
    assert b"tagged?" not in record.header
    header = HEADER.parse(record.header)
    assert (header.title, header.tags, header.importance) == ("", frozenset(), None)


def test_whoever_says_nothing_shows_nothing() -> None:
    """Fields that leave it open are sealed where it comes to sealing: a slip shows no title."""
    fields = msgspec.structs.replace(FULL, title="visible?", tags=("tagged?",), sealed=None)
    record = make_record(STAMP, fields, KEY, OURS, random=os.urandom)
    assert b"visible?" not in record.header
    assert b"tagged?" not in record.header
    assert written_memory(STAMP, fields).sealed


def test_nothing_opens_in_another_place() -> None:
    """A wrap or an envelope under another key, name or header does not open."""
    record = make_record(STAMP, FULL, KEY, OURS, random=os.urandom)
    header = HEADER.parse(record.header)
    other = msgspec.structs.replace(header, memory_id=b"n" * 16)
    for head, wrapping in (
        (header, Wrapping(Kek(generation=2), KEK)),
        (header, Wrapping(Kek(grant_id=b"g" * 16), KEK)),
        (header, Wrapping(Kek(generation=1), KEY)),
        (other, OURS),
        (msgspec.structs.replace(header, key_number=1), OURS),
        (msgspec.structs.replace(header, account_id=b"b" * 16), OURS),
    ):
        with pytest.raises(OpenError):
            unwrap_memory_key(head, record.wrap, wrapping)
    for head in (other, msgspec.structs.replace(header, title="other"),
                 msgspec.structs.replace(header, author=OWNER)):  # fmt: skip
        with pytest.raises(OpenError):
            open_version(HEADER.serialize(head), record.envelope, KEY)
    with pytest.raises(OpenError):
        open_version(record.header, record.envelope, KEK)


@pytest.mark.parametrize(
    "changes",
    [
        {"content": ""},
        {"title": "t" * 513},
        {"tags": ("",)},
        {"importance": -0.1},
        {"importance": float("nan")},
        {"confidence": 2.0},
        {"metadata": {"set": {1}}},
        {"sealed": True, "tags": ("a\0",)},
        {"sealed": True, "title": "t" * 513},
    ],
)
def test_what_breaks_a_rule_is_refused_with_a_reason(changes: dict[str, Any]) -> None:
    """What could not be read back is not sealed; the reason is said and the value is not."""
    fields = msgspec.structs.replace(FULL, **changes)
    with pytest.raises(InputError) as raised:
        make_record(STAMP, fields, KEY, OURS, random=os.urandom)
    assert len(str(raised.value)) > 10
    assert "ttt" not in str(raised.value)


def test_too_large_is_said_to_be_too_large() -> None:
    """Content of a mebibyte fits, and one byte more does not."""
    fits = msgspec.structs.replace(FULL, content="x" * (1 << 20))
    make_record(STAMP, fits, KEY, OURS, random=os.urandom)
    with pytest.raises(TooLargeError):
        make_record(STAMP, msgspec.structs.replace(FULL, content="x" * ((1 << 20) + 1)), KEY, OURS,
                    random=os.urandom)  # fmt: skip


def test_fields_are_checked_and_brought_into_one_form() -> None:
    """Kinds are checked, whole numbers become fractions, and names and tags come in NFC, once."""
    made = checked(
        Fields(content="x", confidence=1, title="e\u0301", tags=("e\u0301", "\u00e9", "z"))
    )
    assert (made.confidence, made.title, made.tags) == (1.0, "\u00e9", ("\u00e9", "z"))
    assert isinstance(made.confidence, float)
    wrong: tuple[dict[str, Any], ...] = (
        {"content": 5},
        {"content": b"x"},
        {"content": "x", "title": None},
        {"content": "x", "tags": "abc"},
        {"content": "x", "labels": {"a": 1}},
        {"content": "x", "metadata": {1: 2}},
        {"content": "x", "importance": "high"},
        {"content": "x", "valid_from": 5},
        {"content": "x", "sealed": "yes"},
    )
    for fields in wrong:
        with pytest.raises(InputError):
            checked(Fields(**fields))


def test_times_are_microseconds() -> None:
    """A moment comes back as it was, in UTC; without a zone it is UTC; far ones are clipped."""
    moment = datetime(2024, 2, 29, 12, 30, 15, 123_456, tzinfo=timezone(timedelta(hours=2)))
    assert from_micros(to_micros(moment)) == moment
    assert to_micros(datetime(1970, 1, 2)) == 86_400_000_000  # noqa: DTZ001 - without a zone
    assert from_micros(1 << 63).year == 9999


def test_a_memory_does_not_show_itself() -> None:
    """Representations hold no plaintext."""
    memory = written_memory(STAMP, FULL)
    assert isinstance(memory, Memory)
    for thing in (memory, FULL, [memory], {"m": FULL}):
        assert "content" not in repr(thing)
        assert "title" not in repr(thing)
