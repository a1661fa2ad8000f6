"""The HNSW graph (Malkov and Yashunin, 2016) of ``hnswlib``, where that is installed.

``hnswlib`` ships as source only, so it is an extra, and nothing depends on it. Its state is taken
through the dictionary that it offers for pickling; nothing is ever pickled, and no file is written.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from coffret_vault.search.graph_state import BUILD_BREADTH, LINKS, decode_state, encode_state

if TYPE_CHECKING:
    from coffret_vault.search.embedder import Vectors

_BREADTH: Final = 64  # ef
_SEED: Final = 1
_HEADROOM: Final = 1.25


def hnswlib_is_installed() -> bool:
    """Whether graphs can be made here: the library is there and works on this machine."""
    try:
        importlib.import_module("hnswlib")
    except ImportError:
        return False
    return True


class Graph:
    """Approximate neighbours of unit vectors that are numbered 0, 1, 2, .. as they are added."""

    def __init__(self, dimension: int, native: Any = None) -> None:  # noqa: ANN401 - untyped library
        """Start an empty graph, or take over ``native``, an index of ``hnswlib``."""
        import hnswlib  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415 - an extra

        self._dimension = dimension
        self._native = native
        if native is None:
            self._native = hnswlib.Index("ip", dimension)
            self._native.init_index(1024, M=LINKS, ef_construction=BUILD_BREADTH, random_seed=_SEED)

    def __len__(self) -> int:
        return int(self._native.get_current_count())

    def add(self, vectors: Vectors) -> None:
        """Add vectors, numbered on from the last."""
        first, last = len(self), len(self) + len(vectors)
        if last > self._native.get_max_elements():
            self._native.resize_index(max(last, int(last * _HEADROOM)))
        self._native.add_items(vectors, np.arange(first, last))

    def hide(self, number: int) -> None:
        """Never answer with this vector again. It stays in memory until the graph is made anew."""
        self._native.mark_deleted(number)

    def nearest(self, vector: Vectors, count: int) -> npt.NDArray[np.int64]:
        """The numbers of about the ``count`` nearest vectors; none if so many were not reached."""
        self._native.set_ef(max(_BREADTH, count))
        try:
            numbers, _ = self._native.knn_query(vector, k=count, num_threads=1)
        except RuntimeError:  # hidden vectors can cut parts of the graph off
            return np.zeros(0, np.int64)
        return np.asarray(numbers[0], np.int64)

    def state(self) -> bytes:
        """The links between the vectors, without the vectors."""
        (state,) = self._native.__getstate__()
        return encode_state(state)

    @classmethod
    def from_state(cls, encoded: bytes, vectors: Vectors) -> Graph:
        """The graph of ``state()`` over the same ``vectors``.

        Raises:
            IndexDamagedError: the state does not belong to these vectors.
        """
        import hnswlib  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415 - an extra

        native = hnswlib.Index.__new__(hnswlib.Index)
        native.__setstate__((decode_state(encoded, vectors),))
        return cls(vectors.shape[1], native)
