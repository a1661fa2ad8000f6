"""The search index of one vault: in memory, over opened memories, asking no network."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from coffret_vault.errors import InputError
from coffret_vault.search.document import Document, Filters, Hit, Mode, Reason
from coffret_vault.search.embedder import Embedder, NoModel, Vectors, unit_vectors
from coffret_vault.search.passages import passages, whole_text
from coffret_vault.search.ranking import Ranked, rank_fused, rank_meaning, rank_words
from coffret_vault.search.snapshot import dump, restore
from coffret_vault.search.tables import Entry, Tables
from coffret_vault.search.vectors import GRAPH_FROM, VectorIndex
from coffret_vault.search.words import Analyzer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_TOGETHER: Final = 64  # memories, and passages of long ones
# Text that is embedded in a few seconds: who waits sees it go on, and can have it kept.
_CHARS_TOGETHER: Final = 1 << 16
_ID_BYTES: Final = 16
_NEAR: Final = 0.5


class Stale(NamedTuple):
    """What it takes to catch up: memories to (re)index, and indexed ones that are gone."""

    to_put: list[bytes]
    to_remove: list[bytes]


class SearchIndex:
    """Finds memories by meaning and by words. Not for use from two threads at a time.

    Holds plaintext (terms, vectors, tags) as long as it lives; whoever locks the vault lets go of
    it. ``dump()`` and ``restore()`` turn it into bytes for sealing, and back.
    """

    def __init__(self, embedder: Embedder, *, graph_from: int = GRAPH_FROM) -> None:
        """Start empty.

        Args:
            embedder: the model; all vectors of an index are of one model.
            graph_from: how many passages it takes until neighbours are found through a graph.
        """
        self.embedder = embedder
        self._analyzer = Analyzer()
        self._tables = Tables(VectorIndex(embedder.dimension, graph_from=graph_from))

    @classmethod
    def without_meaning(cls) -> SearchIndex:
        """An index for mode ``"words"`` only, which is quick to fill: nothing is embedded."""
        return cls(NoModel(), graph_from=sys.maxsize)

    def __len__(self) -> int:
        return len(self._tables.columns.row_of)

    def __contains__(self, key: bytes) -> bool:
        return key in self._tables.columns.row_of

    @property
    def notice(self) -> str | None:
        """A sentence to show a person once, when search is slower than it could be."""
        return self._tables.vectors.notice

    def sources(self) -> list[str]:
        """The sources of all that is indexed, each once; of what has none it is the empty text."""
        return self._tables.columns.facets.values("source")

    def unlisted(self) -> list[bytes]:
        """The memories whose metadata is too much to list, so that no filter by it finds them."""
        columns = self._tables.columns
        return [columns.identity(row)[0] for row in columns.facets.unlisted()]

    def put(
        self, documents: Iterable[Document], *, progress: Callable[[int], None] | None = None
    ) -> None:
        """Index memories, replacing those that are there.

        Args:
            documents: opened memories, in any order.
            progress: told, after each group and each part of a long one, how many memories have
                been indexed so far; it may :meth:`dump` what is there by then.

        Raises:
            InputError: an id is not of 16 bytes.
            EmbedderError: the model failed. In both cases the groups before stay indexed, and of
                this one nothing is.
        """
        tell = progress or (lambda _: None)
        done = 0
        for group in _grouped(documents):
            self._put_group(group, partial(tell, done))
            done += len(group)
            tell(done)
        self._tables.tidy()

    def remove(self, keys: Iterable[bytes]) -> None:
        """Forget memories; ids that are not indexed are passed over."""
        for key in keys:
            self._tables.remove(key)
        self._tables.tidy()

    def stale(self, known: Mapping[bytes, int]) -> Stale:
        """Compare with ``known``, the version of every memory that should be found."""
        indexed = self._tables.columns.versions()
        return Stale(
            to_put=[key for key, version in known.items() if indexed.get(key) != version],
            to_remove=[key for key in indexed if key not in known],
        )

    def search(
        self,
        question: str,
        *,
        filters: Filters | None = None,
        limit: int = 10,
        mode: Mode = "fused",
        min_similarity: float | None = None,
    ) -> list[Hit]:
        """The memories that best answer ``question``, best first.

        Args:
            question: in plain language; words in any form, or none in common, may match.
            filters: which memories may be answered.
            limit: at most how many.
            mode: by meaning and words together, or by one of them.
            min_similarity: leave out what is less similar than this (-1 to 1), unless, where words
                count, it has every word of the question. Scores are as without it.

        Raises:
            InputError: the question is no text, or blank, the limit is below one, or the least
                similarity is no such number or asked of a search by words alone.
            EmbedderError: the model failed.
        """
        check_question(question, limit)
        check_least(min_similarity, mode)
        vector = None if mode == "words" else self._embed_question(question)
        return self.rank(
            question, vector, filters=filters, limit=limit, mode=mode, min_similarity=min_similarity
        )

    def rank(
        self,
        question: str,
        vector: Vectors | None,
        *,
        filters: Filters | None = None,
        limit: int = 10,
        mode: Mode = "fused",
        min_similarity: float | None = None,
    ) -> list[Hit]:
        """As ``search``, for a question that was embedded already; ``"words"`` needs no vector."""
        _check_limit(limit)
        terms = self._analyzer.question(question) if mode != "semantic" else {}
        allowed = self._tables.columns.allowed(filters)
        if not allowed.any():
            return []
        if mode == "words" or vector is None:
            ranked = rank_words(self._tables, terms, allowed, limit)
        elif mode == "semantic":
            ranked = rank_meaning(self._tables, vector, allowed, limit, min_similarity)
        else:
            ranked = rank_fused(self._tables, vector, terms, allowed, limit, min_similarity)
        return self._hits(ranked, terms)

    def dump(self) -> bytes:
        """Everything as bytes, which are plaintext: seal them before they are written anywhere.

        Nothing of a removed memory is among them.
        """
        return dump(self._tables, self.embedder.model_id)

    @classmethod
    def restore(
        cls, snapshot: bytes | memoryview, embedder: Embedder, *, graph_from: int = GRAPH_FROM
    ) -> SearchIndex:
        """The index that ``dump()`` wrote. The caller has opened and so authenticated the bytes.

        Raises:
            IndexDamagedError: of another version or model, or not consistent; build a new index.
        """
        index = cls(embedder, graph_from=graph_from)
        index._tables = restore(snapshot, embedder.model_id, embedder.dimension, graph_from)
        return index

    def _embed_question(self, question: str) -> Vectors:
        vector = self.embedder.embed_query(question)
        dimension = self.embedder.dimension
        unit: Vectors = unit_vectors([vector], count=1, dimension=dimension)[0]
        return unit

    def _put_group(self, group: list[Document], part: Callable[[], None]) -> None:
        if any(len(document.id) != _ID_BYTES for document in group):
            message = "The id of a memory is 16 bytes."
            raise InputError(message)
        latest = list({document.id: document for document in group}.values())
        texts = [passages(document) for document in latest]
        flat = [text for of_one in texts for text in of_one]
        vectors = self._embed(flat, part)
        entries = [
            Entry(document, self._analyzer.terms(whole_text(document)), len(of_one))
            for document, of_one in zip(latest, texts, strict=True)
        ]
        self._tables.replace(entries, vectors)

    def _embed(self, texts: list[str], part: Callable[[], None]) -> Vectors:
        """Vectors of texts, some at a time: one memory may be so long that it takes minutes."""
        dimension = self.embedder.dimension
        vectors = np.empty((len(texts), dimension), np.float32)
        for first in range(0, len(texts), _TOGETHER):
            if first:
                part()
            some = texts[first : first + _TOGETHER]
            raw = self.embedder.embed_documents(some)
            vectors[first : first + len(some)] = unit_vectors(
                raw, count=len(some), dimension=dimension
            )
        return vectors

    def _hits(self, ranked: Ranked, terms: Mapping[str, str]) -> list[Hit]:
        count = len(ranked.rows)
        cosines = [None] * count if ranked.similarity is None else ranked.similarity.tolist()
        columns = (ranked.rows, ranked.scores, ranked.lexical, ranked.nearness)
        matched = self._tables.lexical.matched(terms, ranked.rows)
        rows = zip(*(column.tolist() for column in columns), cosines, matched, strict=True)
        hits = []
        for row, score, lexical, nearness, cosine, found in rows:
            key, version = self._tables.columns.identity(row)
            words = tuple(terms[term] for term in found)
            hits.append(
                Hit(
                    id=key,
                    version=version,
                    score=score,
                    similarity=cosine,
                    coverage=len(found) / len(terms) if terms else 0.0,
                    lexical=lexical,
                    words=tuple(dict.fromkeys(words)),
                    why=_reasons(words, cosine, nearness),
                )
            )
        return hits


def _grouped(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents in groups of so many, or of so much text; what is longer stands alone."""
    group: list[Document] = []
    chars = 0
    for document in documents:
        group.append(document)
        chars += len(document.content)
        if len(group) == _TOGETHER or chars >= _CHARS_TOGETHER:
            yield group
            group, chars = [], 0
    if group:
        yield group


def check_question(question: str, limit: int) -> None:
    """Go on if this can be asked.

    Raises:
        InputError: the question is no text, or blank, or the limit is below one.
    """
    given: object = question
    if not isinstance(given, str):
        message = "A question is a text."
        raise InputError(message)
    if not given.strip():
        message = "The question is empty."
        raise InputError(message)
    _check_limit(limit)


def _check_limit(limit: int) -> None:
    if limit < 1:
        message = "The limit must be at least 1."
        raise InputError(message)


def check_least(similarity: float | None, mode: Mode) -> None:
    """Go on if a search in this mode can leave out what is less similar than this.

    Raises:
        InputError: it cannot.
    """
    if similarity is None:
        return
    if not -1 <= similarity <= 1:  # nor is what is not a number
        message = "A similarity is between -1 and 1."
        raise InputError(message)
    if mode == "words":
        message = "A search by words alone knows no similarity, so min_similarity is not for it."
        raise InputError(message)


def _reasons(words: tuple[str, ...], cosine: float | None, nearness: float) -> tuple[Reason, ...]:
    """What a hit owes its place to: meaning counts when it is near, or all there is."""
    reasons: list[Reason] = []
    if cosine is not None and (nearness >= _NEAR or not words):
        reasons.append("semantic")
    if words:
        reasons.append("words")
    return tuple(reasons)
