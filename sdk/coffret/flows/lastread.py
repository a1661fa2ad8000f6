"""How each memory stood when this process last read it: nothing that was read goes back.

docs/spec/6-grants.md, Reading by an app. An app that runs for months reads of ten thousand owners:
so between two reads an entry takes 24 bytes, and no objects.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from coffret_vault.formats.pae import u64

if TYPE_CHECKING:
    from collections.abc import Iterator

_ID = 16
_ITEM = 24


class LastRead:
    """Of each owner, the entry of their log that each memory was last read by."""

    def __init__(self) -> None:
        """Nothing was read."""
        self._kept: dict[tuple[str, bytes], bytes] = {}

    @contextmanager
    def of(self, username: str, account_id: bytes) -> Iterator[dict[bytes, int]]:
        """One owner's memories, each with the index of its entry; what is put in is kept."""
        whose = username, account_id
        kept = self._kept.get(whose, b"")
        items = (kept[at : at + _ITEM] for at in range(0, len(kept), _ITEM))
        seen = {item[:_ID]: int.from_bytes(item[_ID:], "big") for item in items}
        try:
            yield seen
        finally:
            self._kept[whose] = b"".join(name + u64(index) for name, index in seen.items())

    def forget(self, username: str, account_id: bytes) -> None:
        """Begin anew with one owner."""
        self._kept.pop((username, account_id), None)
