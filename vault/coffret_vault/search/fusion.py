"""Meaning and words made one score.

A convex combination of min-max-normalised scores (Bruch, Gai and Ingber, 2023): measured to rank
better than reciprocal ranks, which throw away how much better the better one is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from coffret_vault.search.embedder import Vectors

_SEMANTIC_SHARE: Final = np.float32(0.5)


def fuse(semantic: Vectors, lexical: Vectors) -> Vectors:
    """The fused scores, 0 to 1, of candidates with these cosines and BM25 scores."""
    share = _SEMANTIC_SHARE
    return share * spread(semantic) + (1 - share) * of_best(lexical)


def spread(scores: Vectors) -> Vectors:
    """``scores`` with the least at 0 and the greatest at 1; all 1 when there is no difference.

    Cosines of a model crowd in a narrow band whose place says nothing, so both ends are taken.
    """
    if not len(scores):
        return scores
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.ones_like(scores)


def of_best(scores: Vectors) -> Vectors:
    """``scores``, none negative, as shares of the greatest: without a word in common it stays 0."""
    best = scores.max(initial=0)
    return scores / best if best > 0 else scores
