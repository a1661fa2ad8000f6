"""Words: an inverted index scored by BM25 (Robertson and Zaragoza, 2009)."""

from __future__ import annotations

import math
from array import array
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from coffret_vault.search.growing import Growing, Scalar
from coffret_vault.search.postings import PostingLists

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SATURATION: Final = 1.2  # k1
_LENGTH_WEIGHT: Final = 0.75  # b


class LexicalParts(NamedTuple):
    """A lexical index as arrays: the postings of all terms, one after the other."""

    terms: list[str]
    sizes: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint16]
    lengths: npt.NDArray[np.uint32]


class _Restored(NamedTuple):
    """What the rows' terms are found from: the postings' sizes and rows, and which rows live."""

    sizes: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint32]
    live: npt.NDArray[np.bool_]


class LexicalIndex:
    """Terms of rows 0, 1, 2, ..; a removed row leaves none behind, not even in the vocabulary."""

    def __init__(self) -> None:
        """Start without rows."""
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._postings = PostingLists()
        self._unused: list[int] = []
        self._live = 0
        self._restored: _Restored | None = None
        self._lengths = Growing(np.uint32)
        self._damping: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self._lengths)

    @cached_property
    def _terms_of(self) -> dict[int, array[int]]:
        """The term numbers of each row; of a restored index not made before something changes."""
        restored, self._restored = self._restored, None
        return {} if restored is None else _terms_by_row(restored)

    def add(self, counts: Mapping[str, int]) -> None:
        """Add the next row, which has these terms this often."""
        terms_of, row = self._terms_of, len(self._lengths)
        numbers = array("I", map(self._number, counts))
        for number, count in zip(numbers, counts.values(), strict=True):
            self._postings[number].append(row, count)
        terms_of[row] = numbers
        self._live += 1
        self._lengths.append(sum(counts.values()))
        self._damping = None

    def remove(self, row: int) -> None:
        """Forget the terms of ``row``; the row itself stays, empty."""
        numbers = self._terms_of.pop(row, None)
        self._live -= numbers is not None
        for number in numbers or ():
            self._postings[number].discard(row)
            if not self._postings[number]:
                del self._numbers[self._names[number]]
                self._names[number] = ""
                self._unused.append(number)
        self._lengths.view[row] = 0
        self._damping = None

    def scores(self, terms: Iterable[str]) -> npt.NDArray[np.float32]:
        """BM25 of every row for these terms: shape ``(len(self),)``, 0 where none occurs."""
        scores = np.zeros(len(self), np.float32)
        damping = self._row_damping()
        for term in terms:
            number = self._numbers.get(term)
            if number is not None:
                postings = self._postings[number]
                rows, counts = postings.rows.astype(np.intp), postings.counts.astype(np.float32)
                weight = np.float32(self._rarity(len(rows)) * (_SATURATION + 1))
                share = damping.take(rows)
                share += counts
                np.divide(counts, share, out=share)
                share *= weight
                scores[rows] += share
        return scores

    def matched(self, terms: Iterable[str], rows: npt.NDArray[np.int64]) -> list[list[str]]:
        """Those of ``terms`` that each of ``rows`` has."""
        found: list[list[str]] = [[] for _ in rows]
        asked = rows.astype(np.uint32)
        for term in terms:
            number = self._numbers.get(term)
            if number is not None:
                for place in self._postings[number].places(asked):
                    found[place].append(term)
        return found

    def compact(self, new_row: npt.NDArray[np.int64]) -> None:
        """Renumber the rows: ``new_row[old]`` is the new number, negative for removed ones."""
        for postings in self._postings:
            postings.renumber(new_row)
        self._terms_of = {int(new_row[row]): terms for row, terms in self._terms_of.items()}
        self._lengths.replace(self._lengths.view[new_row >= 0])
        self._damping = None

    def parts(self) -> LexicalParts:
        """Everything, as arrays."""
        live = [(name, self._postings[number]) for name, number in self._numbers.items()]
        return LexicalParts(
            terms=[name for name, _ in live],
            sizes=np.array([len(postings) for _, postings in live], np.uint32),
            rows=_joined([postings.rows for _, postings in live], np.uint32),
            counts=_joined([postings.counts for _, postings in live], np.uint16),
            lengths=self._lengths.view.copy(),
        )

    @classmethod
    def from_parts(cls, parts: LexicalParts, live: npt.NDArray[np.bool_]) -> LexicalIndex:
        """The index that ``parts()`` took apart, ``live`` telling the rows not removed.

        The caller has checked that the sizes agree.
        """
        index = cls()
        ends = np.cumsum(parts.sizes, dtype=np.int64)
        rows, counts = memoryview(parts.rows.tobytes()), memoryview(parts.counts.tobytes())
        index._postings = PostingLists(rows, counts, tuple(ends.tolist()))
        index._names = list(parts.terms)
        index._numbers = {name: number for number, name in enumerate(index._names)}
        index._lengths.replace(parts.lengths)
        index._live = int(np.count_nonzero(live))
        index._restored = _Restored(parts.sizes.copy(), np.frombuffer(rows, np.uint32), live.copy())
        return index

    def _number(self, term: str) -> int:
        number = self._numbers.get(term)
        if number is None:
            number = self._unused.pop() if self._unused else len(self._names)
            if number == len(self._names):
                self._names.append(term)
                self._postings.append()
            self._names[number] = term
            self._numbers[term] = number
        return number

    def _rarity(self, having: int) -> float:
        """The inverse document frequency, in the form that is never negative."""
        return math.log1p((self._live - having + 0.5) / (having + 0.5))

    def _row_damping(self) -> npt.NDArray[np.float32]:
        """k1 (1 - b + b length / mean length), by row; kept until the next change."""
        if self._damping is None:
            lengths = self._lengths.view.astype(np.float32)
            mean = max(float(lengths.sum()) / max(self._live, 1), 1.0)
            share = np.float32(_LENGTH_WEIGHT / mean)
            self._damping = np.float32(_SATURATION) * (1 - _LENGTH_WEIGHT + share * lengths)
        return self._damping


def _joined(arrays: list[npt.NDArray[Scalar]], dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype)


def _terms_by_row(restored: _Restored) -> dict[int, array[int]]:
    """The term numbers of each row, from the rows of each term."""
    sizes, rows, live = restored
    numbers = np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)
    ordered = numbers[np.argsort(rows, kind="stable")].tobytes()
    having = np.bincount(rows, minlength=len(live))
    ends = np.cumsum(having)
    spans = zip((ends - having).tolist(), ends.tolist(), strict=True)
    return {
        row: array("I", ordered[4 * start : 4 * end])
        for row, (start, end) in enumerate(spans)
        if live[row]
    }
