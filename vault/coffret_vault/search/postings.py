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

    def __init__(self, rows: bytes = b"", counts: bytes = b"") -> None:
        """Start empty, or from ``rows`` (uint32) and ``counts`` (uint16) in native byte order."""
        self._rows = array("I", rows)
        self._counts = array("H", counts)

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, row: int, count: int = 1) -> None:
        """Add ``row``, which is higher than every row so far."""
        self._rows.append(row)
        self._counts.append(min(count, _MOST))

    def discard(self, row: int) -> None:
        """Forget ``row``, if it is here."""
        place = bisect_left(self._rows, row)
        if place < len(self._rows) and self._rows[place] == row:
            del self._rows[place], self._counts[place]

    def __contains__(self, row: int) -> bool:
        place = bisect_left(self._rows, row)
        return place < len(self._rows) and self._rows[place] == row

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
