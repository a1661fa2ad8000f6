"""Which passages belong to which row, and a row's likeness from those of its passages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from coffret_vault.search.growing import Growing

if TYPE_CHECKING:
    from coffret_vault.search.embedder import Vectors
    from coffret_vault.search.vectors import VectorIndex

Rows = npt.NDArray[np.int64]


class PassageTable:
    """Each row has one or more passages, which are numbered in the order of the rows."""

    def __init__(self) -> None:
        """Start without rows."""
        self._counts = Growing(np.int64)
        self._starts = Growing(np.int64)
        self._owners = Growing(np.int64)

    @property
    def counts(self) -> Rows:
        """How many passages each row has, not copied."""
        return self._counts.view

    def append(self, count: int) -> None:
        """Add the next row, which has ``count`` passages."""
        row = len(self._counts)
        self._starts.append(len(self._owners))
        self._counts.append(count)
        self._owners.extend(np.full(count, row))

    def span(self, row: int) -> tuple[int, int]:
        """The first passage of ``row`` and how many it has."""
        return int(self._starts.view[row]), int(self._counts.view[row])

    def owners(self, passages: Rows) -> Rows:
        """The rows that ``passages`` belong to, each once, ascending."""
        return np.unique(self._owners.view[passages])

    def of_rows(self, keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which passages belong to the rows of the mask ``keep``."""
        return keep[self._owners.view]

    def likeness(self, vectors: VectorIndex, vector: Vectors) -> Vectors:
        """How near the nearest passage of every row is."""
        near = vectors.likeness(vector)
        if len(near) == len(self._counts):
            return near
        return np.maximum.reduceat(near, self._starts.view) if len(near) else near

    def likeness_of(self, rows: Rows, vectors: VectorIndex, vector: Vectors) -> Vectors:
        """How near the nearest passage of each of ``rows`` is."""
        if not len(rows):
            return np.zeros(0, np.float32)
        counts = self._counts.view[rows]
        ends = np.cumsum(counts)
        starts = ends - counts
        passages = np.arange(ends[-1]) + np.repeat(self._starts.view[rows] - starts, counts)
        return np.maximum.reduceat(vectors.likeness_of(passages, vector), starts)

    @classmethod
    def from_counts(cls, counts: npt.NDArray[np.integer]) -> PassageTable:
        """The table of rows with ``counts`` passages, each at least one."""
        table = cls()
        table._counts.replace(counts.astype(np.int64))
        table._starts.replace(np.cumsum(table.counts) - table.counts)
        table._owners.replace(np.repeat(np.arange(len(counts)), table.counts))
        return table
