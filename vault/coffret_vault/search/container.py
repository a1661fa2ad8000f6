"""Named arrays and a header in one run of bytes.

::

    "COFFRET-SEARCH-1" | length of header, u64 little-endian | header, MessagePack | arrays

Little-endian throughout. Parsing copies nothing and believes nothing: whatever does not add up is
``IndexDamagedError``, after which the caller builds the index anew.
"""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import msgspec
import numpy as np

from coffret_vault.errors import IndexDamagedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

_MAGIC: Final = b"COFFRET-SEARCH-1"
_LENGTH: Final = struct.Struct("<Q")
# One plain type each. NumPy reads more in a type's name: tuples, lists, and Python in them.
_TYPE: Final = re.compile(r"[<|](?:b1|[iu][1248]|f[248]|V[0-9]{1,3})")
_Header = TypeVar("_Header", bound=msgspec.Struct)


class _Preamble(msgspec.Struct, frozen=True, array_like=True):
    header: msgspec.Raw
    arrays: dict[str, tuple[str, list[int]]]


def pack(header: msgspec.Struct, arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """One run of bytes that ``unpack`` takes apart."""
    little = {name: _little_endian(array) for name, array in arrays.items()}
    preamble = _Preamble(
        header=msgspec.Raw(msgspec.msgpack.encode(header)),
        arrays={name: (array.dtype.str, list(array.shape)) for name, array in little.items()},
    )
    encoded = msgspec.msgpack.encode(preamble)
    blocks = (array.tobytes() for array in little.values())
    return b"".join([_MAGIC, _LENGTH.pack(len(encoded)), encoded, *blocks])


def unpack(
    packed: bytes | memoryview, header_type: type[_Header]
) -> tuple[_Header, dict[str, npt.NDArray[Any]]]:
    """The header and the arrays, which are views of ``packed`` and must not be written to.

    Raises:
        IndexDamagedError: anything is missing, left over or of another type.
    """
    view = memoryview(packed)
    start = len(_MAGIC) + _LENGTH.size
    try:
        if bytes(view[: len(_MAGIC)]) != _MAGIC:
            _refuse("is of another format")
        (length,) = _LENGTH.unpack(view[len(_MAGIC) : start])
        preamble = msgspec.msgpack.decode(view[start : start + length], type=_Preamble)
        header = msgspec.msgpack.decode(preamble.header, type=header_type)
        arrays, end = {}, start + length
        for name, (dtype, shape) in preamble.arrays.items():
            arrays[name], end = _array(view, end, dtype, shape)
    except (
        msgspec.MsgspecError,
        struct.error,
        ValueError,
        TypeError,
        OverflowError,
        RecursionError,
    ):
        _refuse("cannot be read")
    if end != len(view):
        _refuse("has another length than it says")
    return header, arrays


def _array(
    view: memoryview, start: int, dtype: str, shape: list[int]
) -> tuple[npt.NDArray[Any], int]:
    if _TYPE.fullmatch(dtype) is None or min(shape, default=0) < 0:
        message = "kind"
        raise ValueError(message)
    kind = np.dtype(dtype)
    count = math.prod(shape)
    end = start + count * kind.itemsize
    array = np.frombuffer(view[start:end], kind).reshape(shape)
    return array.astype(kind.newbyteorder("="), copy=False), end


def _little_endian(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _refuse(what: str) -> NoReturn:
    message = f"The search index {what}."
    raise IndexDamagedError(message)
