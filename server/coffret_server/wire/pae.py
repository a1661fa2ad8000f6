"""Reading PAE (docs/spec/1-encoding.md): the one canonical form, and nothing near it."""

import struct
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from coffret_server.problems import ProblemError, malformed, refuse

SUITE: Final = b"\x01"
ID_SIZE: Final = 16
KEY_SIZE: Final = 32
DIGEST_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
OWNER: Final = b"\x00"
FARTHEST: Final = (1 << 63) - 1
"""The largest number that a database takes."""
_U64: Final = struct.Struct(">Q")
WORD: Final = _U64.size
_PICTOGRAPHS: Final = range(0x1F000, 0x1FB00)
"""Set aside for emoji, none of which is ever composed of others."""


def u64(value: int) -> bytes:
    """Eight bytes, big-endian."""
    return _U64.pack(value)


class Layout:
    """The fixed beginning of every PAE of one purpose, and how many fields follow the suite."""

    __slots__ = ("count", "label", "prefix")

    def __init__(self, purpose: str, count: int) -> None:
        self.count = count
        self.label = b"coffret/v1/" + purpose.encode("ascii")
        self.prefix = u64(len(self.label)) + self.label + u64(count + 1) + u64(1) + SUITE

    def split(self, data: bytes) -> list[bytes]:
        """The fields after the suite.

        Raises:
            ProblemError: `malformed` or `unknown-suite`.
        """
        if not data.startswith(self.prefix):
            raise self._diagnosis(data)
        position, end, fields = len(self.prefix), len(data), []
        for _ in range(self.count):
            start = position + WORD
            position = start + int.from_bytes(data[position:start], "big")
            if start > end or position > end:
                refuse("malformed", "a length reaches beyond the bytes at hand")
            fields.append(data[start:position])
        if position != end:
            refuse("malformed", "bytes are left over")
        return fields

    def build(self, *fields: bytes) -> bytes:
        """The PAE of these fields."""
        return self.prefix + b"".join([u64(len(field)) + field for field in fields])

    def _diagnosis(self, data: bytes) -> ProblemError:
        before_suite = self.prefix[: -len(SUITE)]
        if data.startswith(before_suite) and len(data) > len(before_suite):
            return ProblemError("unknown-suite", "the suite is not 01")
        return malformed("wrong label or wrong number of fields")


class Places:
    """The beginning of a PAE in which each length is known, so that each field has its place.

    It reads what is usual at a stroke. What it does not read is read field by field, which says
    what is wrong with it.
    """

    __slots__ = ("_constants", "_struct", "size")

    def __init__(self, *pairs: tuple[bytes, str]) -> None:
        """Constant bytes, each with the `struct` kind of what follows it."""
        pattern = "".join(f"{len(constant)}s{kind}" for constant, kind in pairs)
        self._constants = tuple(constant for constant, _ in pairs)
        self._struct = struct.Struct(">" + pattern)
        self.size = self._struct.size

    def read(self, data: bytes) -> tuple[Any, ...] | None:
        """What stands between the constants; None where they are not all there."""
        if len(data) < self.size:
            return None
        found = self._struct.unpack_from(data)
        return found[1::2] if found[::2] == self._constants else None


def read_u64(data: bytes) -> int:
    """An unsigned 64-bit integer."""
    if len(data) != WORD:
        refuse("malformed", "an integer is not 8 bytes")
    return int.from_bytes(data, "big")


def read_time(data: bytes) -> int:
    """Microseconds since 1970; what a signed 64-bit column cannot hold is malformed."""
    value = read_u64(data)
    if value >> 63:
        refuse("malformed", "a number is out of range")
    return value


def read_flag(data: bytes) -> bool:
    """A `u8` that is 0 or 1."""
    if data not in {b"\x00", b"\x01"}:
        refuse("malformed", "a flag is neither 0 nor 1")
    return data == b"\x01"


def read_fixed(data: bytes, size: int) -> bytes:
    """Bytes of one fixed length."""
    if len(data) != size:
        refuse("malformed", f"a field is not {size} bytes")
    return data


def read_id(data: bytes) -> UUID:
    """A UUID of 16 bytes."""
    return UUID(bytes=read_fixed(data, ID_SIZE))


def read_text(data: bytes, limit: int) -> str:
    """UTF-8 of at most `limit` bytes, in NFC, without U+0000."""
    if len(data) > limit:
        refuse("malformed", "a text is too long")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        msg = "a text is not UTF-8"
        raise malformed(msg) from None
    if "\0" in text or not (text.isascii() or unicodedata.is_normalized("NFC", text)):
        refuse("malformed", "a text is not in NFC, or has U+0000")
    return text


def check_assigned(texts: Iterable[str], what: str) -> None:
    """Refuse texts in characters that this server's Unicode does not know.

    Whether a text is in NFC depends on the version of Unicode only where a character is not
    assigned yet: such a text could be read here and not on a newer device.
    """
    for symbol in "".join(texts):
        if unicodedata.category(symbol) == "Cn" and ord(symbol) not in _PICTOGRAPHS:
            refuse("invalid-input", f"{what} has a character that is not assigned")


def read_list(data: bytes, limit: int) -> list[bytes]:
    """The items of a `list` of at most `limit`."""
    count = read_u64(data[:WORD])
    if count > limit:
        refuse("malformed", "a list is too long")
    position, end, items = WORD, len(data), []
    for _ in range(count):
        start = position + WORD
        position = start + int.from_bytes(data[position:start], "big")
        if start > end or position > end:
            refuse("malformed", "a length reaches beyond the bytes at hand")
        items.append(data[start:position])
    if position != end:
        refuse("malformed", "bytes are left over")
    return items


def read_set(data: bytes, limit: int) -> list[bytes]:
    """The items of a `set`: distinct and sorted bytewise."""
    items = read_list(data, limit)
    if any(first >= second for first, second in pairwise(items)):
        refuse("malformed", "a set is not sorted, or repeats an item")
    return items


def read_option(data: bytes) -> bytes | None:
    """The item of an `option`, or None."""
    items = read_list(data, 1)
    return items[0] if items else None


def read_author(data: bytes) -> bytes | None:
    """The app id of an `author`, or None for the owner."""
    if data == OWNER:
        return None
    if len(data) != 1 + ID_SIZE or data[0] != 1:
        refuse("malformed", "an author is neither the owner nor an app")
    return data[1:]
