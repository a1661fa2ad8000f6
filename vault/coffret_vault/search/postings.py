"""Which rows have a thing, and how often: the lists behind terms and facets."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

_MOST = 0xFFFF
_NONE = memoryview(b"")


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


class PostingLists:
    """The lists of many things, numbered 0, 1, 2, ..

    Those of a snapshot are made when they are asked for: a search asks for a few of them.
    """

    def __init__(
        self, rows: memoryview = _NONE, counts: memoryview = _NONE, ends: tuple[int, ...] = ()
    ) -> None:
        """Start empty, or with what :class:`Postings` takes, one list behind the other.

        Args:
            rows: of all of them.
            counts: of all of them.
            ends: how many rows there are up to the end of each.
        """
        self._rows, self._counts, self._ends = rows, counts, ends
        self._made: dict[int, Postings] = {}
        self._count = len(ends)

    def __getitem__(self, number: int) -> Postings:
        """The list with this number, which there must be; what changes it changes this."""
        found = self._made.get(number)
        if found is None:
            start, end = self._ends[number - 1] if number else 0, self._ends[number]
            found = Postings(self._rows[4 * start : 4 * end], self._counts[2 * start : 2 * end])
            self._made[number] = found
        return found

    def __iter__(self) -> Iterator[Postings]:
        return map(self.__getitem__, range(self._count))

    def append(self) -> None:
        """One more list, empty."""
        self._made[self._count] = Postings()
        self._count += 1
