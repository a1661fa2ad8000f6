"""Headers, payloads and keys of memories."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from coffret_vault.errors import FormatError, TooLargeError
from coffret_vault.formats.memory import (
    HEADER,
    KEK,
    MAX_CONTENT,
    MAX_HEADER,
    MAX_PAYLOAD,
    Kek,
    Payload,
    Record,
    parse_payload,
    record_digest,
    serialize_payload,
)
from coffret_vault.formats.padding import pad
from vectors.making.samples import HEADER_SAMPLE


def _payload(**fields: Any) -> Payload:
    return Payload(format=1, **{"content": "x", **fields})


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"key_number": 0},
        {"updated": HEADER_SAMPLE.created - 1},
        {"importance": 1_000_001},
        {"sealed": True},
        {"title": "t" * 513},
        {"tags": frozenset(("",))},
        {"tags": frozenset(("a\tb",))},
        {"tags": frozenset(("a\x85b",))},
        {"tags": frozenset(("t" * 65,))},
        {"tags": frozenset(map(str, range(65)))},
    ],
)
def test_what_cannot_be_a_header_is_not_written(changes: dict[str, Any]) -> None:
    """Each rule of a header holds for its writer too."""
    with pytest.raises(FormatError):
        HEADER.serialize(msgspec.structs.replace(HEADER_SAMPLE, **changes))


def test_the_largest_header_is_within_its_limit() -> None:
    """A header with everything at its longest is under the 16 KiB that a server takes."""
    tags = frozenset(f"{n:02}".rjust(64, "t") for n in range(64))
    largest = msgspec.structs.replace(HEADER_SAMPLE, title="t" * 512, tags=tags)
    assert len(HEADER.serialize(largest)) < MAX_HEADER


@pytest.mark.parametrize(
    "fields",
    [
        {"content": ""},
        {"content": "\ud800"},
        {"confidence": 1.01},
        {"confidence": float("nan")},
        {"tags": ("b", "a")},
        {"tags": ("a", "a")},
        {"tags": ("",)},
        {"title": "t" * 513},
        {"importance": -1},
        {"importance": 1_000_001},
        {"valid_from": 2**64},
        {"metadata": {"a": 2**64}},
        {"metadata": {"a": object()}},
        {"metadata": {"a": {1: 2}}},
        {"metadata": {"a": {1, 2}}},
        {"metadata": {"a": datetime(2025, 1, 1, tzinfo=UTC)}},
        {"metadata": {"a": msgspec.msgpack.Ext(5, b"")}},
        {"metadata": {"a": "\ud800"}},
        {"metadata": {"a": [float("nan")]}},
        {"metadata": {"a": {"b": float("inf")}}},
        {"metadata": {"a": float("-inf")}},
    ],
)
def test_what_cannot_be_a_payload_is_not_written(fields: dict[str, Any]) -> None:
    """What could not be read again, or would be read as something else, is refused at once."""
    with pytest.raises(FormatError):
        serialize_payload(_payload(**fields))


def test_metadata_that_contains_itself_is_refused() -> None:
    """Nesting ends at its limit, not at the end of the stack."""
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(FormatError):
        serialize_payload(_payload(metadata=endless))


@pytest.mark.parametrize(
    "fields",
    [{"content": "x" * (MAX_CONTENT + 1)}, {"metadata": {"a": b"x" * MAX_PAYLOAD}}],
)
def test_too_large_is_said_to_a_writer(fields: dict[str, Any]) -> None:
    """A person who writes too much hears that it is too much."""
    with pytest.raises(TooLargeError):
        serialize_payload(_payload(**fields))


def test_too_large_is_malformed_to_a_reader() -> None:
    """Whoever sends too much sent something malformed: one class of error for a hostile payload."""
    large = msgspec.msgpack.encode({"format": 1, "content": "x" * (MAX_CONTENT + 1)})
    huge = msgspec.msgpack.encode({"format": 1, "content": "x", "summary": "x" * MAX_PAYLOAD})
    deep = b"\x83\xa6format\x01\xa7content\xa1x\xa8metadata\x81\xa1a" + b"\x91" * 100_000 + b"\0"
    for data in (large, huge, deep):
        with pytest.raises(FormatError):
            parse_payload(data)


def test_the_largest_payload_fits_into_an_envelope() -> None:
    """The limit of an envelope is the padded limit of a payload, and its overhead."""
    assert len(pad(bytes(MAX_PAYLOAD))) + 81 <= 2_228_224


def test_a_payload_has_defaults_only_for_what_is_absent() -> None:
    """What is not there reads as empty."""
    payload = parse_payload(b"\x82\xa6format\x01\xa7content\xa1x")
    assert payload == _payload()
    assert (payload.summary, payload.labels, payload.tags) == ("", {}, ())


@pytest.mark.parametrize("kek", [Kek(generation=1), Kek(grant_id=bytes(16))])
def test_names_of_keys_come_back(kek: Kek) -> None:
    """The name of a wrapping key is read as it was written."""
    assert KEK.decode(KEK.encode(kek)) == kek


@pytest.mark.parametrize("kek", [Kek(), Kek(generation=0), Kek(grant_id=b"short")])
def test_a_key_without_a_name_is_not_written(kek: Kek) -> None:
    """A wrap under no key that there could be is refused."""
    with pytest.raises(FormatError):
        KEK.encode(kek)


@pytest.mark.parametrize("data", [b"", b"\0", bytes(9), b"\1" + bytes(15), b"\2" + bytes(16)])
def test_other_names_of_keys_are_not_read(data: bytes) -> None:
    """Generation 0, another kind or another length is malformed."""
    with pytest.raises(FormatError):
        KEK.decode(data)


def test_the_digest_binds_header_and_envelope_and_not_their_seam() -> None:
    """Bytes moved from the header to the envelope give another digest."""
    record = Record(b"header", b"envelope", b"", b"")
    assert record.digest == record_digest(b"header", b"envelope")
    assert record_digest(b"heade", b"renvelope") != record.digest
    assert Record(b"header", b"envelope", b"other", b"other").digest == record.digest
