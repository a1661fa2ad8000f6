"""Fast reading and writing of objects whose every field has a fixed length.

Where all lengths are known, everything but the contents of the fields is constant: one ``unpack``
and one comparison do what the general reader does field by field, and one ``join`` what the general
writer does. What does not fit the template goes to the general one, which says what is wrong.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from coffret_vault.errors import FormatError
from coffret_vault.formats.pae import pae, u64

if TYPE_CHECKING:
    from collections.abc import Sequence


class Template:
    """PAEs of one purpose whose fields are each constant, or of a known length."""

    def __init__(
        self, purpose: str, fields: Sequence[bytes | int], *, more: int | None = None
    ) -> None:
        """Prepare to read and to write.

        Args:
            purpose: of the PAE.
            fields: for each field its constant bytes, or the length of what is read or written.
            more: how many fields of any length follow; None when nothing may.
        """
        prefix = pae(purpose, *[b""] * (len(fields) + (more or 0)))
        constant = prefix[: len(prefix) - 8 * (len(fields) + (more or 0))]
        pattern, expected, pending = ">", [], constant
        sizes: list[int] = []
        for field in fields:
            if isinstance(field, bytes):
                pending += u64(len(field)) + field
                continue
            pending += u64(field)
            pattern += f"{len(pending)}s{field}s"
            expected.append(pending)
            sizes.append(field)
            pending = b""
        if pending:
            pattern += f"{len(pending)}s"
            expected.append(pending)
        self._struct = struct.Struct(pattern)
        self._expected = tuple(expected)
        self._sizes = sizes
        self._around = [b""] * (len(expected) + len(sizes))
        self._around[::2] = expected
        self._more, self._follow = more, more or 0

    def read(self, data: bytes) -> tuple[bytes, ...] | None:
        """The contents of the fields that are read; None when the template does not fit."""
        size = self._struct.size
        if len(data) != size if self._more is None else len(data) < size:
            return None
        parts: tuple[bytes, ...] = self._struct.unpack_from(data)
        return parts[1::2] if parts[::2] == self._expected else None

    def read_whole(self, data: bytes) -> tuple[bytes, ...] | None:
        """As :meth:`read`, and the contents of the fields of any length behind those."""
        fixed = self.read(data)
        if fixed is None:
            return None
        at, rest = self._struct.size, []
        for _ in range(self._follow):
            start = at + 8
            at = start + int.from_bytes(data[at:start], "big")
            rest.append(data[start:at])
        return (*fixed, *rest) if at == len(data) else None

    def write(self, fields: Sequence[bytes], more: Sequence[bytes] = ()) -> bytes:
        """The PAE with these contents in the fields that are read, and ``more`` after them.

        Raises:
            FormatError: a field is of another length, or there are too many or too few.
        """
        if list(map(len, fields)) != self._sizes or len(more) != self._follow:
            message = "a field is of another length than it has to be"
            raise FormatError(message)
        parts = self._around.copy()
        parts[1::2] = fields
        for field in more:
            parts += (len(field).to_bytes(8, "big"), field)
        return b"".join(parts)
