"""How far the log was verified, as a device keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from coffret_vault.errors import FormatError, StoreDamagedError
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.log.tree import parse_frontier

if TYPE_CHECKING:
    from coffret_vault.formats.checkpoint import SignedHead
    from coffret_vault.log.tree import Frontier


class _Kept(msgspec.Struct, frozen=True):
    head: str
    size: int
    frontier: bytes
    tail: tuple[bytes, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


class Mark(NamedTuple):
    """The newest head, the tree under it, and the leaves behind it. Nobody changes the tree."""

    head: SignedHead
    frontier: Frontier
    tail: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """How many leaves there are, with the tail."""
        return self.frontier.size + len(self.tail)

    def pack(self) -> bytes:
        """As it is kept."""
        frontier = self.frontier
        return _encode(_Kept(self.head.note, frontier.size, frontier.serialize(), self.tail))


def parse_mark(kept: bytes) -> Mark:
    """Read what was kept.

    Raises:
        StoreDamagedError: it is not what :meth:`Mark.pack` writes.
    """
    try:
        found = _decode(kept)
        return Mark(parse_head(found.head), parse_frontier(found.size, found.frontier), found.tail)
    except (msgspec.MsgspecError, FormatError, UnicodeDecodeError, RecursionError):
        raise StoreDamagedError from None
