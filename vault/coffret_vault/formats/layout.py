"""Layouts: an object's fields and their encodings, from which both directions follow.

A :class:`Layout` pairs a frozen struct with one codec a field, in the order of the specification.
``serialize`` and ``parse`` are exact inverses: what parses, serialises to the same bytes.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from coffret_vault.errors import FormatError
from coffret_vault.formats.pae import pack_list, pack_set, pae, read_list, read_pae, read_set, u64

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_U64 = 8
LONGEST_TEXT = 2_048
"""Characters. The longest field has 1,000 bytes, and composing makes a third less of a text."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How one field goes to bytes and back."""

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


@dataclass(frozen=True, slots=True)
class Layout(Generic[T]):
    """The wire form of one kind of object.

    Attributes:
        purpose: the PAE purpose.
        kind: the struct that a parsed object becomes.
        fields: ``(name, codec)`` in wire order.
        check: refuses what the fields alone cannot (called on both ways).
    """

    purpose: str
    kind: Callable[..., T]
    fields: tuple[tuple[str, Codec[Any]], ...]
    check: Callable[[T], None] = lambda _: None

    def serialize(self, value: T) -> bytes:
        """The object's bytes.

        Raises:
            FormatError: a field cannot be written as the specification wants it.
        """
        self.check(value)
        return pae(
            self.purpose,
            *[codec.encode(getattr(value, name)) for name, codec in self.fields],
        )

    def parse(self, data: bytes) -> T:
        """Read the object's bytes, strictly.

        Raises:
            FormatError: anything is not as the specification says.
            UnknownSuiteError: a suite that is not ours.
        """
        raw = read_pae(self.purpose, len(self.fields), data)
        value = self.kind(
            *[codec.decode(field) for (_, codec), field in zip(self.fields, raw, strict=True)]
        )
        self.check(value)
        return value


def fixed(size: int) -> Codec[bytes]:
    """Bytes of one length."""

    def exact(data: bytes) -> bytes:
        if len(data) != size:
            message = f"a field of {size} bytes has {len(data)}"
            raise FormatError(message)
        return data

    return Codec(exact, exact)


def limited(most: int) -> Codec[bytes]:
    """Bytes of any length up to ``most``."""

    def within(data: bytes) -> bytes:
        if len(data) > most:
            message = f"a field of at most {most} bytes has {len(data)}"
            raise FormatError(message)
        return data

    return Codec(within, within)


def read_u64(data: bytes) -> int:
    """The integer of a ``u64`` field."""
    if len(data) != _U64:
        message = "an integer is not 8 bytes long"
        raise FormatError(message)
    return int.from_bytes(data, "big")


def write_text(value: str) -> bytes:
    """A string as NFC UTF-8; lone surrogates, U+0000 and what fits no field are refused."""
    if value.isascii() and "\0" not in value:
        return value.encode("ascii")
    if len(value) > LONGEST_TEXT:
        message = f"a text of at most {LONGEST_TEXT} characters has {len(value)}"
        raise FormatError(message)
    return _text_bytes(unicodedata.normalize("NFC", value))


def _text_bytes(value: str) -> bytes:
    try:
        data = value.encode("utf-8")
    except UnicodeEncodeError:
        message = "a text holds a lone surrogate"
        raise FormatError(message) from None
    if b"\0" in data:
        message = "a text holds U+0000"
        raise FormatError(message)
    return data


def read_text(data: bytes) -> str:
    """The string of a ``text`` field, which must be UTF-8 in NFC without U+0000."""
    try:
        value = data.decode("utf-8")
    except UnicodeDecodeError:
        message = "a text is not UTF-8"
        raise FormatError(message) from None
    if "\0" in value or not (value.isascii() or unicodedata.is_normalized("NFC", value)):
        message = "a text is not in NFC, or holds U+0000"
        raise FormatError(message)
    return value


def text(most: int) -> Codec[str]:
    """A text of at most ``most`` bytes."""
    size = limited(most)
    return Codec(
        lambda value: size.encode(write_text(value)), lambda data: read_text(size.decode(data))
    )


def _read_flag(data: bytes) -> bool:
    if data not in {b"\0", b"\1"}:
        message = "a flag is neither 0 nor 1"
        raise FormatError(message)
    return data == b"\1"


def set_of(item: Codec[T], *, most: int) -> Codec[frozenset[T]]:
    """A set of at most ``most`` items."""

    def encode(values: frozenset[T]) -> bytes:
        items = {item.encode(value) for value in values}
        if len(items) > most:
            message = "a set has too many items"
            raise FormatError(message)
        return pack_set(items)

    return Codec(
        encode, lambda data: frozenset([item.decode(part) for part in read_set(data, most=most)])
    )


def option(item: Codec[T]) -> Codec[T | None]:
    """An item that may be absent."""

    def decode(data: bytes) -> T | None:
        parts = read_list(data, most=1)
        return item.decode(parts[0]) if parts else None

    return Codec(
        lambda value: pack_list(() if value is None else (item.encode(value),)),
        decode,
    )


U64: Codec[int] = Codec(u64, read_u64)
TIME = U64
FLAG: Codec[bool] = Codec(lambda value: b"\1" if value else b"\0", _read_flag)
ID = fixed(16)
HASH = fixed(32)
KEY32 = fixed(32)
SIGNATURE_BYTES = 64


def id_text(identifier: bytes) -> str:
    """The 16 bytes of an id as people and JSON see them: a lower-case hyphenated UUID."""
    digits = identifier.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse_id(value: str) -> bytes:
    """The 16 bytes of an id in its one JSON form.

    Raises:
        FormatError: not a lower-case hyphenated UUID.
    """
    try:
        identifier = UUID(value)
    except ValueError:
        message = "that is not an id"
        raise FormatError(message) from None
    if str(identifier) != value:
        message = "an id is written in lower case with hyphens"
        raise FormatError(message)
    return identifier.bytes
