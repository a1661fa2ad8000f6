"""The HNSW graph (Malkov and Yashunin, 2016) of ``hnswlib``, where that is installed.

``hnswlib`` ships as source only, so it is an extra, and nothing depends on it. Its state is taken
through the dictionary that it offers for pickling; nothing is ever pickled, and no file is written.
The vectors are cut out of that state and put back from the index's own, so that a snapshot neither
holds each vector twice nor any vector of a memory that was forgotten.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from coffret_vault.errors import IndexDamagedError

if TYPE_CHECKING:
    from coffret_vault.search.embedder import Vectors

_LINKS: Final = 16  # M
_BUILD_BREADTH: Final = 200  # ef_construction
_BREADTH: Final = 64  # ef
_SEED: Final = 1
_HEADROOM: Final = 1.25
_ARRAYS: Final = {
    "label_lookup_external": "<u8",
    "label_lookup_internal": "<u4",
    "element_levels": "<i4",
    "link_lists": "|i1",
}


def hnswlib_is_installed() -> bool:
    """Whether graphs can be made here."""
    return importlib.util.find_spec("hnswlib") is not None


class Graph:
    """Approximate neighbours of unit vectors that are numbered 0, 1, 2, .. as they are added."""

    def __init__(self, dimension: int, native: Any = None) -> None:  # noqa: ANN401 - untyped library
        """Start an empty graph, or take over ``native``, an index of ``hnswlib``."""
        import hnswlib  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415 - an extra

        self._dimension = dimension
        self._native = native
        if native is None:
            self._native = hnswlib.Index("ip", dimension)
            self._native.init_index(
                1024, M=_LINKS, ef_construction=_BUILD_BREADTH, random_seed=_SEED
            )

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
        count = state["cur_element_count"]
        table = state.pop("data_level0").reshape(count, -1)
        for name, dtype in _ARRAYS.items():
            state[name] = state[name].astype(dtype).tobytes()
        state["links"] = np.delete(table, _vector_columns(state, self._dimension), axis=1).tobytes()
        return msgspec.msgpack.encode(state)

    @classmethod
    def from_state(cls, encoded: bytes, vectors: Vectors) -> Graph:
        """The graph of ``state()`` over the same ``vectors``.

        Raises:
            IndexDamagedError: the state does not belong to these vectors.
        """
        import hnswlib  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415 - an extra

        count, dimension = vectors.shape
        try:
            state = msgspec.msgpack.decode(encoded, type=dict[str, Any])
            _check(state, count, dimension)
            for name, dtype in _ARRAYS.items():
                state[name] = np.frombuffer(state[name], dtype)
            state["data_level0"] = _table(state, state.pop("links"), vectors)
            native = hnswlib.Index.__new__(hnswlib.Index)
            native.__setstate__((state,))
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, RuntimeError):
            message = "The graph in the search index cannot be read."
            raise IndexDamagedError(message) from None
        return cls(dimension, native)


def _vector_columns(state: dict[str, Any], dimension: int) -> slice:
    """Where an element's vector lies among the bytes of the element."""
    return slice(state["offset_data"], state["offset_data"] + 4 * dimension)


def _check(state: dict[str, Any], count: int, dimension: int) -> None:
    """Compare every size with what it must be, since the library believes what it is told."""
    element = state["size_data_per_element"]
    agreed = (
        state["dim"] == dimension
        and state["cur_element_count"] == count <= state["max_elements"]
        and state["max_elements"] <= 2 * count + 1024
        and state["space"] == "ip"
        and state["M"] == _LINKS
        and state["offset_data"] + 4 * dimension == state["label_offset"] == element - 8
        and len(state["links"]) == count * (element - 4 * dimension)
        and len(state["label_lookup_external"]) == 8 * count
        and len(state["label_lookup_internal"]) == len(state["element_levels"]) == 4 * count
        and 0 <= state["enterpoint_node"] < count
    )
    if not agreed:
        message = "sizes"
        raise ValueError(message)


def _table(state: dict[str, Any], links: bytes, vectors: Vectors) -> npt.NDArray[np.int8]:
    """The library's table of elements: links, vector, label."""
    count = len(vectors)
    before = state["offset_data"]
    stored = np.frombuffer(links, np.int8).reshape(count, -1)
    labels = np.ascontiguousarray(stored[:, before:]).view(np.uint64).ravel()
    if not np.array_equal(np.sort(labels), np.arange(count, dtype=np.uint64)):
        message = "labels"
        raise ValueError(message)
    ordered = np.ascontiguousarray(vectors[labels.astype(np.int64)], np.float32)
    table = np.hstack([stored[:, :before], ordered.view(np.int8), stored[:, before:]])
    return table.reshape(-1)
