"""Which rows could answer a question: the candidates of meaning and of words, scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from coffret_vault.search.fusion import fuse, of_best, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from coffret_vault.search.columns import Mask
    from coffret_vault.search.embedder import Vectors
    from coffret_vault.search.passage_table import Rows
    from coffret_vault.search.tables import Tables

    Nearest = tuple[Rows, Vectors, Callable[[Rows], Vectors]]

# Candidates from each side, at least: their spread is what the scores are normalised by.
_POOL: Final = 100
# A filter that keeps less is cheaper to compare exactly than to find through the graph.
_FEW: Final = 0.05
_SPARE: Final = 1.3
_NEVER: Final = -np.float32(np.inf)
_PART: Final = 16


class Ranked(NamedTuple):
    """Rows, best first, with their scores.

    ``similarity`` (cosines) is absent when meaning was not asked for; ``nearness`` is the same
    between the least (0) and the greatest (1) of the candidates.
    """

    rows: Rows
    scores: Vectors
    lexical: Vectors
    similarity: Vectors | None
    nearness: Vectors


def rank_words(tables: Tables, terms: Iterable[str], allowed: Mask, limit: int) -> Ranked:
    """The best ``limit`` rows by words alone; only rows with a word in common."""
    scores = tables.lexical.scores(terms) * allowed
    rows = _best(scores, limit, above=0)
    words = scores[rows]
    return _ordered(rows, of_best(words), words, None, limit)


def rank_meaning(
    tables: Tables, vector: Vectors, allowed: Mask, limit: int, least: float | None = None
) -> Ranked:
    """The best ``limit`` rows by meaning alone, of those that are at least so similar."""
    rows, semantic, _ = _nearest(tables, vector, allowed, max(_POOL, limit))
    keep = None if least is None else _similar(semantic, least)
    return _ordered(rows, np.clip(semantic, 0, 1), np.zeros_like(semantic), semantic, limit, keep)


def rank_fused(
    tables: Tables,
    vector: Vectors,
    terms: Collection[str],
    allowed: Mask,
    limit: int,
    least: float | None = None,
) -> Ranked:
    """The best ``limit`` rows by meaning and words together.

    With ``least``, of those that are at least so similar, or have every one of the terms.
    """
    words = tables.lexical.scores(terms) * allowed
    pool = max(_POOL, limit)
    by_words = _best(words, pool, above=0)
    by_meaning, semantic, likeness_of = _nearest(tables, vector, allowed, pool)
    is_near = np.zeros(len(allowed), np.bool_)
    is_near[by_meaning] = True
    more = by_words[~is_near[by_words]]
    rows = np.concatenate([by_meaning, more])
    semantic = np.concatenate([semantic, likeness_of(more)])
    by_both, keep = words[rows], None
    if least is not None:
        keep = _similar(semantic, least)
        others = np.flatnonzero(~keep & (by_both > 0))
        keep[others] = _having_all(tables, terms, rows[others])
    return _ordered(rows, fuse(semantic, by_both), by_both, semantic, limit, keep)


def _similar(semantic: Vectors, least: float) -> Mask:
    """Which of these cosines, as a hit says them, are no less than ``least``."""
    return np.asarray(_bounded(semantic).astype(np.float64) >= least)


def _bounded(semantic: Vectors) -> Vectors:
    """Cosines as they can be: vectors kept as 16-bit floats may be a little longer than 1."""
    return np.asarray(np.clip(semantic, -1, 1), np.float32)


def _having_all(tables: Tables, terms: Collection[str], rows: Rows) -> Mask:
    """Which of ``rows`` have every one of the terms."""
    found = tables.lexical.matched(terms, rows)
    return np.array([len(having) == len(terms) for having in found], np.bool_)


def _nearest(tables: Tables, vector: Vectors, allowed: Mask, count: int) -> Nearest:
    """About the ``count`` nearest allowed rows, their likeness, and what tells that of others."""

    def likeness_of(rows: Rows) -> Vectors:
        return tables.likeness_of(rows, vector)

    many = int(np.count_nonzero(allowed))
    if tables.vectors.approximate and many > count and many > _FEW * len(allowed):
        wanted = int(_SPARE * count * len(tables.vectors) / many)
        rows = tables.passages.owners(tables.vectors.nearest(vector, wanted))
        rows = rows[allowed[rows]]
        if len(rows) >= count:
            semantic = likeness_of(rows)
            best = _best(semantic, count)
            return rows[best], semantic[best], likeness_of
    if many > _FEW * len(allowed):
        every = tables.likeness(vector)
        semantic = every if many == len(allowed) else np.where(allowed, every, _NEVER)
        rows = _best(semantic, count)
        return rows, semantic[rows], every.__getitem__
    few = np.flatnonzero(allowed)
    semantic = likeness_of(few)
    best = _best(semantic, count)
    return few[best], semantic[best], likeness_of


def _best(scores: Vectors, count: int, *, above: float = -np.inf) -> Rows:
    """The places of the ``count`` greatest scores that are greater than ``above``, in no order."""
    least = _lower_bound(scores, count)
    places = np.flatnonzero(scores >= least if least > above else scores > above)
    if len(places) <= count:
        return places
    return places[np.argpartition(scores[places], -count)[-count:]]


def _lower_bound(scores: Vectors, count: int) -> float:
    """A number that the ``count`` greatest scores reach, found several times faster than them.

    The count-th greatest of the maxima of disjoint parts is reached by that many scores.
    """
    parts = len(scores) // _PART
    if parts < count:
        return -np.inf
    maxima = scores[: parts * _PART].reshape(_PART, parts).max(axis=0)
    return float(np.partition(maxima, -count)[-count])


def _ordered(
    rows: Rows,
    scores: Vectors,
    lexical: Vectors,
    semantic: Vectors | None,
    limit: int,
    keep: Mask | None = None,
) -> Ranked:
    """Best first; of equal ones the nearer first, then the one added later.

    What ``keep`` leaves out is left out at the end: scores are those among all the candidates.
    """
    near = np.zeros_like(scores) if semantic is None else spread(semantic)
    order = np.lexsort((-rows, -near, -scores))
    order = (order if keep is None else order[keep[order]])[:limit]
    cosines = None if semantic is None else _bounded(semantic[order])
    return Ranked(rows[order], scores[order], lexical[order], cosines, near[order])
