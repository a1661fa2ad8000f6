"""ONNX files, as far as the default model needs them: tensors are read, and a graph is written.

A model is a Protocol Buffers message (https://protobuf.dev/programming-guides/encoding) whose field
numbers are those of ``onnx.proto`` (https://onnx.ai). docs/adr/0040 says why no library does it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Array: TypeAlias = npt.NDArray[Any]

FLOAT: Final = 1
_INT64: Final = 7
_TYPES: Final = {FLOAT: np.float32, 3: np.int8, _INT64: np.int64, 9: np.bool_}
_CODES: Final = {np.dtype(kind): code for code, kind in _TYPES.items()}
_VARINT, _LENGTH, _FOUR_BYTES = 0, 2, 5
_IR_VERSION: Final = 9
_OPSETS: Final = {"": 18, "com.microsoft": 1}
"""The standard's operators, and those that onnxruntime has beyond them."""


def read_tensors(model: bytes) -> dict[str, Array]:
    """The tensors of a model by their names, not copied.

    Of a file whose every byte is known beforehand (``pinned.py``), so nothing is checked here.
    """
    tensors = {}
    for graph in _of(memoryview(model), 7):
        for fields in map(list, map(_fields, _of(graph, 5))):
            dims = [value for number, value in fields if number == 1]
            one = dict(fields)
            array = np.frombuffer(one[9], _TYPES[one[2]]).reshape(dims)
            tensors[str(one[8], "utf-8")] = array
    return tensors


def _of(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The parts of a message under one field number."""
    return (value for number, value in _fields(message) if number == wanted)


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Field numbers and their values: integers, or bytes that are not copied."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        size, at = (4, at) if tag & 7 == _FOUR_BYTES else _read_varint(message, at)
        if tag & 7 == _VARINT:
            yield tag >> 3, size
        else:
            yield tag >> 3, message[at : at + size]
            at += size


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follow
            return value, at


class GraphWriter:
    """A graph, node after node."""

    def __init__(self) -> None:
        """Start empty."""
        self._parts: list[bytes | memoryview] = []
        self._count = 0

    def tensor(self, array: Array) -> str:
        """Add a constant; answers its name."""
        name = self._new_name()
        dims = b"".join(_number(1, size) for size in array.shape)
        kind = _number(2, _CODES[array.dtype])
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        head = dims + kind + _text(8, name) + _head(9, len(content))
        # Not copied before the whole is put together: a model's tensors are tens of megabytes.
        self._parts += (_head(5, len(head) + len(content)) + head, content)
        return name

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: float) -> str:
        """Add an operator with its inputs (blank: left out); answers its only output's name."""
        return self.nodes(operator, inputs, 1, domain, **attributes)[0]

    def nodes(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: int,
        domain: str = "",
        **attributes: float,
    ) -> list[str]:
        """The same with several outputs."""
        names = [self._new_name() for _ in range(outputs)]
        body = [_text(1, name) for name in inputs]
        body += [_text(2, name) for name in names]
        body += [_text(4, operator), _text(7, domain)]
        body += [_field(5, _attribute(name, value)) for name, value in attributes.items()]
        self._parts.append(_field(1, b"".join(body)))
        return names

    def model(self, given: tuple[str, int], answer: tuple[str, int]) -> bytes:
        """The model: this graph from one input to one output, each a name and how many axes."""
        ends = _field(11, _ends(*given, _INT64)) + _field(12, _ends(*answer, FLOAT))
        graph = (*self._parts, _text(2, "graph"), ends)
        opsets = (_text(1, domain) + _number(2, at) for domain, at in _OPSETS.items())
        head = _number(1, _IR_VERSION) + b"".join(_field(8, opset) for opset in opsets)
        return b"".join((head, _head(7, sum(map(len, graph))), *graph))

    def _new_name(self) -> str:
        self._count += 1
        return f"t{self._count}"


def _ends(name: str, axes: int, kind: int) -> bytes:
    """A ``ValueInfoProto``: what goes in or comes out, of any size along each of its axes."""
    tensor = _number(1, kind) + _field(2, _field(1, b"") * axes)
    return _text(1, name) + _field(2, _field(1, tensor))


def _attribute(name: str, value: float) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    packed = _varint(2 << 3 | _FOUR_BYTES) + struct.pack("<f", value)
    return _text(1, name) + packed + _number(20, 1)


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, content: bytes) -> bytes:
    return _head(number, len(content)) + content


def _head(number: int, length: int) -> bytes:
    """What stands before so many bytes."""
    return _varint(number << 3 | _LENGTH) + _varint(length)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF  # a negative one is its complement in 64 bits
    parts = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
