"""Which rows have a thing, and how often: the lists behind terms and facets."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_MOST = 0xFFFF


class Postings:
    """Rows in ascending order, each with a count; rows are only ever added at the end."""

    __slots__ = ("_counts", "_rows")

    def __init__(self, rows: bytes | memoryview = b"", counts: bytes | memoryview = b"") -> None:
        """Start empty, or from ``rows`` (uint32) and ``counts`` (uint16) in native byte order.

        They are copied when they first change: of a snapshot's many lists most never do.
        """
        self._rows: array[int] | memoryview = memoryview(rows).cast("B").cast("I")
        self._counts: array[int] | memoryview = memoryview(counts).cast("B").cast("H")

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, row: int, count: int = 1) -> None:
        """Add ``row``, which is higher than every row so far."""
        rows, counts = self._own()
        rows.append(row)
        counts.append(min(count, _MOST))

    def discard(self, row: int) -> None:
        """Forget ``row``, if it is here."""
        if row in self:
            rows, counts = self._own()
            place = bisect_left(rows, row)
            del rows[place], counts[place]

    def __contains__(self, row: int) -> bool:
        place = bisect_left(self._rows, row)
        return place < len(self._rows) and self._rows[place] == row

    def places(self, rows: npt.NDArray[np.uint32]) -> list[int]:
        """Where in ``rows`` those stand that are here."""
        own = self.rows
        if not len(own):
            return []
        near = own[np.minimum(np.searchsorted(own, rows), len(own) - 1)]
        places: list[int] = np.flatnonzero(near == rows).tolist()
        return places

    @property
    def rows(self) -> npt.NDArray[np.uint32]:
        """The rows, not copied: drop it before the next change."""
        return np.frombuffer(self._rows, np.uint32)

    @property
    def counts(self) -> npt.NDArray[np.uint16]:
        """The counts, not copied: drop it before the next change."""
        return np.frombuffer(self._counts, np.uint16)

    def renumber(self, new_row: npt.NDArray[np.int64]) -> None:
        """Give every row its number in ``new_row``, which keeps their order."""
        self._rows = array("I", new_row[self.rows].astype(np.uint32).tobytes())

    def _own(self) -> tuple[array[int], array[int]]:
        """The lists as ones that may change."""
        if isinstance(self._rows, memoryview):
            self._rows = array("I", self._rows.tobytes())
        if isinstance(self._counts, memoryview):
            self._counts = array("H", self._counts.tobytes())
        return self._rows, self._counts
