"""Plain, slow versions of what the search does, and a tiny embedder, for tests to compare with."""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING

import numpy as np

from coffret_vault.search import Document, Filters
from coffret_vault.search.passages import passages, whole_text
from coffret_vault.search.words import Analyzer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coffret_vault.search.embedder import Vectors

DAY = 86_400_000_000


class HashingEmbedder:
    """A text's vector is the sum of fixed directions of its words: exact, offline, instant."""

    def __init__(self, model_id: str = "hashing/1", dimension: int = 32) -> None:
        """Name it; another name is another model to the index."""
        self.model_id = model_id
        self.dimension = dimension
        self.texts: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder``; keeps the texts for tests to look at."""
        self.texts.extend(texts)
        rows = [self._vector(text) for text in texts]
        return np.array(rows, np.float32).reshape(len(rows), self.dimension)

    def embed_query(self, text: str) -> Vectors:
        """See ``Embedder``."""
        self.texts.append(text)
        return self._vector(text)

    def _vector(self, text: str) -> Vectors:
        total = np.full(self.dimension, 1e-3)
        for word in re.findall(r"\w+", text.lower()):
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
            total += np.random.default_rng(seed).standard_normal(self.dimension)
        return np.asarray(total / np.linalg.norm(total), np.float32)


def key(number: int) -> bytes:
    """A memory id."""
    return number.to_bytes(16)


def memory(number: int, content: str = "", **fields: object) -> Document:
    """A memory with an id, a version, times, and whatever else is given."""
    given = {"version": 1, "created": number * DAY, "updated": number * DAY, **fields}
    return Document(id=key(number), content=content, **given)  # type: ignore[arg-type]


def passes(document: Document, filters: Filters) -> bool:
    """Whether a memory passes filters, one plain condition after the other."""
    f, d = filters, document
    heavy = -1.0 if d.importance is None else d.importance
    chosen = ((f.types, d.type), (f.authors, d.author), (f.statuses, d.status), (f.ids, d.id))
    periods = (
        (f.created_after, d.created, f.created_before),
        (f.updated_after, d.updated, f.updated_before),
    )
    conditions = [
        f.any_tags is None or bool(set(d.tags) & f.any_tags),
        f.all_tags <= set(d.tags),
        f.sources is None or d.source in f.sources,
        f.importance_min is None or (d.importance is not None and heavy >= f.importance_min),
        f.importance_max is None or (d.importance is not None and heavy <= f.importance_max),
        *(allowed is None or value in allowed for allowed, value in chosen),
        *(d.labels.get(name) == value for name, value in f.labels.items()),
        *(item in (d.metadata or ()) or d.id in f.unlisted for item in f.metadata.items()),
        *(first is None or time >= first for first, time, _ in periods),
        *(end is None or time < end for _, time, end in periods),
        f.valid_on is None or d.valid_from is None or d.valid_from <= f.valid_on,
        f.valid_on is None or d.valid_until is None or f.valid_on < d.valid_until,
    ]
    return all(conditions)


def bm25(documents: Sequence[Document], question: str) -> dict[bytes, float]:
    """BM25 of every memory, from the formula."""
    analyzer = Analyzer()
    terms = {d.id: analyzer.terms(whole_text(d)) for d in documents}
    mean = max(sum(t.total() for t in terms.values()) / max(len(terms), 1), 1.0)
    scores = dict.fromkeys(terms, 0.0)
    for term in analyzer.question(question):
        having = sum(1 for t in terms.values() if term in t)
        rarity = math.log(1 + (len(terms) - having + 0.5) / (having + 0.5))
        for identity, counts in terms.items():
            often = counts[term]
            damping = 1.2 * (1 - 0.75 + 0.75 * counts.total() / mean)
            scores[identity] += rarity * often * 2.2 / (often + damping)
    return scores


def cosines(
    documents: Sequence[Document], question: str, embedder: HashingEmbedder
) -> dict[bytes, float]:
    """The cosine of every memory's nearest passage."""
    asked = embedder.embed_query(question)
    return {d.id: float((embedder.embed_documents(passages(d)) @ asked).max()) for d in documents}


def fused(semantic: Mapping[bytes, float], lexical: Mapping[bytes, float]) -> dict[bytes, float]:
    """Half the min-max-normalised cosines, half the BM25 scores as shares of the best."""
    low, high = min(semantic.values()), max(semantic.values())
    best = max(lexical.values()) or 1.0
    return {
        k: 0.5 * ((semantic[k] - low) / (high - low) if high > low else 1.0)
        + 0.5 * lexical[k] / best
        for k in semantic
    }
