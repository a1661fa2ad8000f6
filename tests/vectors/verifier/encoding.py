"""PAE and the fields of docs/spec/1-encoding.md."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING, Any
from uuid import UUID

from vectors.verifier.refusal import UNKNOWN_SUITE, require

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[[bytes], Any]

_U64 = 8


def sha256(data: bytes) -> bytes:
    """``H`` of the specification."""
    return hashlib.sha256(data).digest()


def u64(value: int) -> bytes:
    """8 bytes, big-endian."""
    return value.to_bytes(_U64, "big")


def pae(purpose: str, *fields: bytes) -> bytes:
    """The formula of the specification, as it stands there."""
    label = b"coffret/v1/" + purpose.encode("ascii")
    out = u64(len(label)) + label + u64(len(fields) + 1) + u64(1) + b"\x01"
    for field in fields:
        out += u64(len(field)) + field
    return out


class Cursor:
    """Bytes that are read from the front."""

    def __init__(self, data: bytes) -> None:
        """Begin at the first byte."""
        self.rest = data

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        require(size <= len(self.rest))
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def number(self) -> int:
        """The next ``u64``."""
        return int.from_bytes(self.take(_U64), "big")

    def end(self) -> None:
        """Nothing may be left."""
        require(not self.rest)


def read_pae(purpose: str, count: int, data: bytes) -> list[bytes]:
    """The fields behind the suite."""
    cursor = Cursor(data)
    require(cursor.take(cursor.number()) == b"coffret/v1/" + purpose.encode("ascii"))
    require(cursor.number() == count + 1)
    require(cursor.number() == 1)
    require(cursor.take(1) == b"\x01", UNKNOWN_SUITE)
    fields = [cursor.take(cursor.number()) for _ in range(count)]
    cursor.end()
    return fields


def read_list(data: bytes) -> list[bytes]:
    """The items of a ``list``."""
    cursor = Cursor(data)
    count = cursor.number()
    require(count * _U64 <= len(cursor.rest))
    items = [cursor.take(cursor.number()) for _ in range(count)]
    cursor.end()
    return items


def fixed(size: int) -> Reader:
    """Bytes of one length, shown in hex."""

    def read(data: bytes) -> str:
        require(len(data) == size)
        return data.hex()

    return read


def number(least: int = 0, most: int = 2**64 - 1) -> Reader:
    """A ``u64`` within bounds."""

    def read(data: bytes) -> int:
        require(len(data) == _U64)
        value = int.from_bytes(data, "big")
        require(least <= value <= most)
        return value

    return read


def text(most: int) -> Reader:
    """A ``text`` of at most so many bytes."""

    def read(data: bytes) -> str:
        require(len(data) <= most)
        try:
            value = data.decode("utf-8", "strict")
        except UnicodeDecodeError:
            require(condition=False)
            raise
        require(unicodedata.normalize("NFC", value) == value and "\0" not in value)
        return value

    return read


def one_of(*values: str) -> Reader:
    """A ``text`` that is one of a few."""

    def read(data: bytes) -> str:
        require(data in {value.encode() for value in values})
        return data.decode()

    return read


def set_of(item: Reader, most: int) -> Reader:
    """A ``set`` of at most so many items."""

    def read(data: bytes) -> list[Any]:
        items = read_list(data)
        require(len(items) <= most and items == sorted(set(items)))
        return [item(part) for part in items]

    return read


def option(item: Reader) -> Reader:
    """An ``option``."""

    def read(data: bytes) -> Any:
        items = read_list(data)
        require(len(items) <= 1)
        return item(items[0]) if items else None

    return read


def flag(data: bytes) -> bool:
    """A ``u8`` that is 0 or 1."""
    require(data in {b"\0", b"\1"})
    return data == b"\1"


def author(data: bytes) -> str | None:
    """None for the owner, else the app's id in hex."""
    if data == b"\0":
        return None
    require(len(data) == 17 and data[0] == 1)
    return data[1:].hex()


def read_id(value: str) -> bytes:
    """The 16 bytes of an id in its JSON form."""
    groups = [len(group) for group in value.split("-")]
    require(groups == [8, 4, 4, 4, 12] and set(value) <= set("0123456789abcdef-"))
    return bytes.fromhex(value.replace("-", ""))


def id_text(data: bytes) -> str:
    """The JSON form of an id."""
    return str(UUID(bytes=data))
