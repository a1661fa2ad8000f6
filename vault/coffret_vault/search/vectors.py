"""Meaning: the vectors of all passages, compared exactly or through a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from coffret_vault.errors import IndexDamagedError
from coffret_vault.search.graph import Graph, hnswlib_is_installed
from coffret_vault.search.growing import Growing

if TYPE_CHECKING:
    from coffret_vault.search.embedder import Vectors

# Measured (bench/search_latency.py): below, comparing with every vector is as fast, and exact.
GRAPH_FROM: Final = 20_000

_NOTICE: Final = (
    "hnswlib is not installed, so search compares the question with every memory. "
    "Results are exact; beyond some 20,000 passages it takes longer. "
    "With a C++ compiler: pip install 'coffret[hnsw]'."
)


class VectorIndex:
    """Unit vectors numbered 0, 1, 2, ..; removed ones are zeroed at once and never found again."""

    def __init__(self, dimension: int, *, graph_from: int = GRAPH_FROM) -> None:
        """Start empty.

        Args:
            dimension: how many numbers a vector has.
            graph_from: how many vectors it takes for a graph to be made.
        """
        self._vectors = Growing(np.float32, dimension)
        self._graph: Graph | None = None
        self._graph_from = graph_from
        self._hidden = 0

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def notice(self) -> str | None:
        """What a person should know about this index, once; nothing when all is well."""
        missing = len(self) >= self._graph_from and not hnswlib_is_installed()
        return _NOTICE if missing else None

    @property
    def approximate(self) -> bool:
        """Whether there is a graph, which now and then misses a neighbour."""
        return self._graph is not None

    def add(self, vectors: Vectors) -> None:
        """Add vectors, rounded to the 16-bit floats that a snapshot keeps."""
        rounded = vectors.astype(np.float16).astype(np.float32)
        first = len(self)
        self._vectors.extend(rounded)
        self._hidden += int(np.count_nonzero(~rounded.any(axis=1)))
        if self._graph is not None:
            self._grow_graph(self._graph, first)
        elif len(self) >= self._graph_from and hnswlib_is_installed():
            self._make_graph()

    def remove(self, first: int, count: int) -> None:
        """Zero ``count`` vectors from ``first`` on."""
        removed = self._vectors.view[first : first + count]
        present = first + np.flatnonzero(removed.any(axis=1))
        removed[:] = 0
        self._hidden += len(present)
        if self._graph is not None:
            for number in present.tolist():
                self._graph.hide(number)

    def likeness(self, vector: Vectors) -> Vectors:
        """The inner product with every vector, exactly: shape ``(len(self),)``.

        Row by row in this thread. The threads of a matrix product halve the time on an idle
        machine, and make it thirty times longer while another process holds a core.
        """
        return np.asarray(np.vecdot(self._vectors.view, vector), np.float32)

    def likeness_of(self, numbers: npt.NDArray[np.int64], vector: Vectors) -> Vectors:
        """The inner product with the vectors ``numbers``, exactly."""
        return np.asarray(np.vecdot(self._vectors.view[numbers], vector), np.float32)

    def nearest(self, vector: Vectors, count: int) -> npt.NDArray[np.int64]:
        """About the ``count`` nearest vectors by the graph, which there must be; may be fewer."""
        if self._graph is None:
            message = "There is no graph; likeness() compares with every vector."
            raise ValueError(message)
        return self._graph.nearest(vector, min(count, len(self) - self._hidden))

    def compact(self, keep: npt.NDArray[np.bool_]) -> None:
        """Have only the vectors that ``keep`` tells, numbered anew, and the graph made anew."""
        self._vectors.replace(self._vectors.view[keep])
        self._graph = None
        self._hidden = int(np.count_nonzero(~self._vectors.view.any(axis=1)))
        if len(self) >= self._graph_from and hnswlib_is_installed():
            self._make_graph()

    def parts(self) -> tuple[npt.NDArray[np.float16], bytes]:
        """The vectors, removed ones as zeros, and the graph's links (empty without a graph)."""
        links = self._graph.state() if self._graph is not None else b""
        return self._vectors.view.astype(np.float16), links

    @classmethod
    def from_parts(
        cls, vectors: npt.NDArray[np.float16], links: bytes, *, graph_from: int = GRAPH_FROM
    ) -> VectorIndex:
        """The index that ``parts()`` took apart.

        Raises:
            IndexDamagedError: the vectors are not finite, or the graph is not theirs.
        """
        index = cls(vectors.shape[1], graph_from=graph_from)
        widened = vectors.astype(np.float32)
        if not np.isfinite(widened).all():
            message = "The search index holds vectors that are not finite."
            raise IndexDamagedError(message)
        index._vectors.replace(widened)
        index._hidden = len(widened) - int(np.count_nonzero(widened.any(axis=1)))
        if links and hnswlib_is_installed():
            index._graph = Graph.from_state(links, widened)
        elif len(index) >= graph_from and hnswlib_is_installed():
            index._make_graph()
        return index

    def _make_graph(self) -> None:
        self._graph = Graph(self._vectors.view.shape[1])
        self._grow_graph(self._graph, 0)

    def _grow_graph(self, graph: Graph, first: int) -> None:
        """Put the vectors from ``first`` on into the graph; a zero vector is never to be found."""
        added = self._vectors.view[first:]
        graph.add(added)
        for number in np.flatnonzero(~added.any(axis=1)).tolist():
            graph.hide(first + number)
