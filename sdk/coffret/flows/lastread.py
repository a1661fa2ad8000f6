"""How each memory stood when this process last read it: nothing that was read goes back.

docs/spec/6-grants.md, Reading by an app. An app that runs for months reads of ten thousand owners:
so between two reads an entry takes 24 bytes, and no objects.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from coffret_vault.formats.pae import u64

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_ID = 16
_ITEM = 24


class _Open:
    """One owner's memories, while they are read; for all who read them at the same time."""

    def __init__(self, kept: bytes) -> None:
        items = (kept[at : at + _ITEM] for at in range(0, len(kept), _ITEM))
        self.seen = {item[:_ID]: int.from_bytes(item[_ID:], "big") for item in items}
        self.readers = 0

    def packed(self) -> bytes:
        return b"".join(name + u64(index) for name, index in self.seen.items())


class LastRead:
    """Of each owner, the entry of their log that each memory was last read by."""

    def __init__(self) -> None:
        """Nothing was read."""
        self.turn: AbstractContextManager[object] = nullcontext()
        """A lock, where there are threads: who begins or ends a read holds it for that moment."""
        self._kept: dict[tuple[str, bytes], bytes] = {}
        self._open: dict[tuple[str, bytes], _Open] = {}

    @contextmanager
    def of(self, username: str, account_id: bytes) -> Iterator[dict[bytes, int]]:
        """One owner's memories, each with the index of its entry; what is put in is kept.

        Who reads of one owner at the same time has the very same: else the read that ends last
        would let go of what the others have seen.
        """
        whose = username, account_id
        with self.turn:
            found = self._open.get(whose)
            if found is None:
                found = self._open[whose] = _Open(self._kept.get(whose, b""))
            found.readers += 1
        try:
            yield found.seen
        finally:
            with self.turn:
                found.readers -= 1
                if not found.readers and self._open.get(whose) is found:
                    self._kept[whose] = self._open.pop(whose).packed()

    def forget(self, username: str, account_id: bytes) -> None:
        """Begin anew with one owner; what is being read of them at the moment is not kept."""
        with self.turn:
            self._open.pop((username, account_id), None)
            self._kept.pop((username, account_id), None)
