"""Which rows have which tag, type, author, status, source, label or metadata."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from coffret_vault.search.postings import Postings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from coffret_vault.search.document import Document

Facet = tuple[str, str]
_LABEL: Final = "label:"
_METADATA: Final = "metadata:"
_UNLISTED: Final = "unlisted"


class Facets:
    """Exact values of rows; a value that no row has any more is forgotten."""

    def __init__(self) -> None:
        """Start empty."""
        self._postings: dict[Facet, Postings] = {}

    @cached_property
    def _facets_of(self) -> dict[int, tuple[Facet, ...]]:
        """The values of each row; of a restored index not made before something changes."""
        having: dict[int, list[Facet]] = {}
        for facet, postings in self._postings.items():
            for row in postings.rows.tolist():
                having.setdefault(row, []).append(facet)
        return {row: tuple(of_row) for row, of_row in having.items()}

    def add(self, row: int, document: Document) -> None:
        """Take the values of ``document`` for ``row``, higher than every row so far."""
        facets = tuple(dict.fromkeys(_facets(document)))
        self._facets_of[row] = facets
        for facet in facets:
            self._postings.setdefault(facet, Postings()).append(row)

    def remove(self, row: int) -> None:
        """Forget the values of ``row``."""
        for facet in self._facets_of.pop(row, ()):
            self._postings[facet].discard(row)
            if not self._postings[facet]:
                del self._postings[facet]

    def having_any(self, kind: str, values: Iterable[str], rows: int) -> npt.NDArray[np.bool_]:
        """Which of ``rows`` rows have one of ``values``."""
        mask = np.zeros(rows, np.bool_)
        for value in values:
            postings = self._postings.get((kind, value))
            if postings is not None:
                mask[postings.rows] = True
        return mask

    def values(self, kind: str) -> list[str]:
        """The values of one kind that rows have."""
        return [value for of, value in self._postings if of == kind]

    def having_label(self, name: str, value: str, rows: int) -> npt.NDArray[np.bool_]:
        """Which of ``rows`` rows have the label ``name`` with ``value``."""
        return self.having_any(_LABEL + name, (value,), rows)

    def having_metadata(self, name: str, value: str, rows: int) -> npt.NDArray[np.bool_]:
        """Which of ``rows`` rows have ``value`` listed as metadata ``name``."""
        return self.having_any(_METADATA + name, (value,), rows)

    def unlisted(self) -> list[int]:
        """The rows whose metadata is not listed."""
        postings = self._postings.get((_UNLISTED, ""))
        return [] if postings is None else postings.rows.tolist()

    def compact(self, new_row: npt.NDArray[np.int64]) -> None:
        """Renumber the rows; see ``LexicalIndex.compact``."""
        facets_of = self._facets_of
        for postings in self._postings.values():
            postings.renumber(new_row)
        self._facets_of = {int(new_row[row]): facets for row, facets in facets_of.items()}

    def parts(self) -> dict[Facet, npt.NDArray[np.uint32]]:
        """The rows of every value."""
        return {facet: postings.rows for facet, postings in self._postings.items()}

    @classmethod
    def from_parts(cls, parts: Mapping[Facet, npt.NDArray[np.uint32]]) -> Facets:
        """The facets that ``parts()`` took apart."""
        facets = cls()
        for facet, rows in parts.items():
            ones = np.ones(len(rows), np.uint16)
            facets._postings[facet] = Postings(rows.tobytes(), ones.tobytes())
        return facets


def _facets(document: Document) -> Iterable[Facet]:
    yield from (("tag", tag) for tag in document.tags)
    yield "type", document.type
    yield "author", document.author
    yield "status", document.status
    yield "source", document.source
    yield from ((_LABEL + name, value) for name, value in document.labels.items())
    if document.metadata is None:
        yield _UNLISTED, ""
    else:
        yield from ((_METADATA + name, value) for name, value in sorted(document.metadata))
