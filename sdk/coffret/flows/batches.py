"""Batches of sealed memories, of which one is sealed while another is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from coffret_vault.errors import CoffretError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from coffret.flows.written import Written

BATCH = 500
_BATCH_BYTES = 8 << 20
WRAP_BYTES = 192
"""More than one key for one grant takes: 113 bytes of wrap, two ids and a number."""
T = TypeVar("T")


class Sealing:
    """Gives batches of sealed memories, one of which can be sealed before it is asked for."""

    def __init__(self, items: Iterable[Written], grants: int = 0) -> None:
        """Take the memories as they are sealed one after another.

        Args:
            items: the memories.
            grants: how many may each be given the key of one, beside it in the request.
        """
        wraps = grants * WRAP_BYTES
        self._batches = batches(items, lambda item: len(item.row.record.envelope) + wraps)
        self._next: list[Written] | None = None
        self._failure: CoffretError | None = None

    def ahead(self) -> None:
        """Seal the next batch now; an error is kept for whoever takes it."""
        if self._next is None and self._failure is None:
            try:
                self._next = next(self._batches, [])
            except CoffretError as failure:
                self._failure = failure

    def take(self) -> list[Written]:
        """The next batch; empty after the last.

        Raises:
            CoffretError: what befell its sealing.
        """
        self.ahead()
        if self._failure is not None:
            raise self._failure
        batch, self._next = self._next or [], None
        return batch


def batches(
    items: Iterable[T], size: Callable[[T], int], *, count: int = 0, most: int = 0
) -> Iterator[list[T]]:
    """As many items as one request takes, by their number and their sizes in bytes.

    Args:
        items: the items.
        size: the bytes of one.
        count: how many at most; 0 for as many as an owner's request takes.
        most: after how many bytes a batch ends, whose last item goes beyond it; 0 likewise.
    """
    batch: list[T] = []
    total = 0
    for item in items:
        batch.append(item)
        total += size(item)
        if len(batch) == (count or BATCH) or total > (most or _BATCH_BYTES):
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
