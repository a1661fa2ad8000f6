"""PAE: the one canonical encoding under every hash, signature, AAD and derivation.

Specification: docs/spec/1-encoding.md. Two different tuples never encode alike, because every
part is preceded by its length; and no object of one kind is read as another, because the purpose is
part of the encoding.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from coffret_vault.errors import FormatError, UnknownSuiteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUITE = 0x01
"""The one cryptographic suite. It is inside every PAE and in front of every envelope."""

_SUITE_BYTES = bytes([SUITE])
_LABEL_PREFIX = b"coffret/v1/"
_U64 = 8


def u64(value: int) -> bytes:
    """An integer as 8 bytes, big-endian.

    Raises:
        FormatError: negative, or 2**64 and above.
    """
    try:
        return value.to_bytes(_U64, "big")
    except OverflowError:
        message = "an integer does not fit in 64 bits"
        raise FormatError(message) from None


@lru_cache(maxsize=256)
def _prefix(purpose: str, fields: int) -> bytes:
    """Everything before the first field of our own; the same for every object of a kind."""
    label = _LABEL_PREFIX + purpose.encode("ascii")
    return u64(len(label)) + label + u64(fields + 1) + u64(1) + _SUITE_BYTES


def pae(purpose: str, *fields: bytes) -> bytes:
    """Encode a purpose and its fields; the suite is put in as the first field.

    Args:
        purpose: what the bytes are for, ASCII, without the ``coffret/v1/`` in front.
        fields: each field's bytes.
    """
    parts = [_prefix(purpose, len(fields))]
    for field in fields:
        parts.append(len(field).to_bytes(_U64, "big"))
        parts.append(field)
    return b"".join(parts)


def read_pae(purpose: str, count: int, data: bytes) -> list[bytes]:
    """Take a PAE of this purpose with exactly ``count`` fields apart.

    Raises:
        UnknownSuiteError: the suite is not ours; said before the fields are looked at.
        FormatError: anything else is not as the specification says.
    """
    prefix = _prefix(purpose, count)
    at = len(prefix)
    if data[:at] != prefix:
        _refuse_prefix(prefix, data)
    size = len(data)
    fields: list[bytes] = []
    for _ in range(count):
        start = at + _U64
        at = start + int.from_bytes(data[at:start], "big")
        if start > size or at > size:
            message = f"{purpose}: a field is cut short"
            raise FormatError(message)
        fields.append(data[start:at])
    if at != size:
        message = f"{purpose}: bytes are left over"
        raise FormatError(message)
    return fields


def _refuse_prefix(prefix: bytes, data: bytes) -> None:
    """Say why the beginning of an object is not the one expected."""
    if data[: len(prefix) - 1] == prefix[:-1] and len(data) >= len(prefix):
        raise UnknownSuiteError
    message = "this is not an object of the kind expected here"
    raise FormatError(message)


def pack_list(items: Iterable[bytes]) -> bytes:
    """A ``list`` field: the count, then each item behind its length."""
    found = list(items)
    parts = [len(found).to_bytes(_U64, "big")]
    for item in found:
        parts.append(len(item).to_bytes(_U64, "big"))
        parts.append(item)
    return b"".join(parts)


def pack_set(items: Iterable[bytes]) -> bytes:
    """A ``set`` field: a list of distinct items in bytewise order."""
    return pack_list(sorted(set(items)))


def read_list(data: bytes, *, most: int) -> Sequence[bytes]:
    """Take a ``list`` field apart.

    Args:
        data: the field.
        most: how many items are allowed; checked before anything is copied.

    Raises:
        FormatError: not a list, too many items, or bytes left over.
    """
    count = int.from_bytes(data[:_U64], "big")
    if len(data) < _U64 or count > most:
        message = "a list is cut short or has too many items"
        raise FormatError(message)
    at, items = _U64, []
    for _ in range(count):
        start = at + _U64
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            message = "a list item is cut short"
            raise FormatError(message)
        items.append(data[start:at])
    if at != len(data):
        message = "bytes are left over behind a list"
        raise FormatError(message)
    return items


def read_set(data: bytes, *, most: int) -> Sequence[bytes]:
    """Take a ``set`` field apart; as :func:`read_list`, and sorted without repetition."""
    items = read_list(data, most=most)
    if any(left >= right for left, right in pairwise(items)):
        message = "a set is not sorted, or repeats an item"
        raise FormatError(message)
    return items
