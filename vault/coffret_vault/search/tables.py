"""The four parts of an index, kept in step: row 7 is the same memory in each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from coffret_vault.search.columns import Columns
from coffret_vault.search.lexical import LexicalIndex
from coffret_vault.search.passage_table import PassageTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coffret_vault.search.document import Document
    from coffret_vault.search.embedder import Vectors
    from coffret_vault.search.passage_table import Rows
    from coffret_vault.search.vectors import VectorIndex

# Emptied rows are dropped when they are this share of all, and enough to be worth it.
_EMPTY_SHARE: Final = 0.2
_EMPTY_LEAST: Final = 64


class Entry(NamedTuple):
    """A memory with its terms and the number of its passages."""

    document: Document
    terms: Mapping[str, int]
    passages: int


class Tables:
    """Columns, words, passages and their vectors."""

    def __init__(
        self,
        vectors: VectorIndex,
        columns: Columns | None = None,
        lexical: LexicalIndex | None = None,
        passages: PassageTable | None = None,
    ) -> None:
        """Start empty, or with parts that are in step already."""
        self.vectors = vectors
        self.columns = columns or Columns()
        self.lexical = lexical or LexicalIndex()
        self.passages = passages or PassageTable()

    def replace(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Put memories in, each once, in place of those with their ids.

        ``vectors`` are those of all their passages, in order.
        """
        for entry in entries:
            self.remove(entry.document.id)
        for entry in entries:
            self.columns.add(entry.document)
            self.lexical.add(entry.terms)
            self.passages.append(entry.passages)
        self.vectors.add(vectors)

    def remove(self, key: bytes) -> None:
        """Take a memory out, if it is there, leaving an empty row."""
        row = self.columns.remove(key)
        if row is not None:
            self.lexical.remove(row)
            self.vectors.remove(*self.passages.span(row))

    def tidy(self) -> None:
        """Drop the empty rows when there are many; the graph, if any, is then made anew."""
        alive = self.columns.alive
        empty = len(alive) - int(np.count_nonzero(alive))
        if empty < max(_EMPTY_LEAST, _EMPTY_SHARE * len(alive)):
            return
        new_row = np.where(alive, np.cumsum(alive) - 1, -1)
        self.vectors.compact(self.passages.of_rows(alive))
        self.passages = PassageTable.from_counts(self.passages.counts[alive])
        self.lexical.compact(new_row)
        self.columns.compact(new_row)

    def likeness(self, vector: Vectors) -> Vectors:
        """How near the nearest passage of every row is; 0 for an empty row."""
        return self.passages.likeness(self.vectors, vector)

    def likeness_of(self, rows: Rows, vector: Vectors) -> Vectors:
        """How near the nearest passage of each of ``rows`` is."""
        return self.passages.likeness_of(rows, self.vectors, vector)
