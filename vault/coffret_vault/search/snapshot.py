"""A search index as bytes, for the caller to seal, and back.

The bytes hold terms, tags and vectors: they are plaintext, and are never written anywhere before
they are sealed. They are authenticated by whoever opens them; here they are checked all the same,
because a library that trusts its input comes after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec
import numpy as np

from coffret_vault.errors import IndexDamagedError
from coffret_vault.search.columns import ColumnParts, Columns
from coffret_vault.search.container import pack, unpack
from coffret_vault.search.facets import Facet, Facets
from coffret_vault.search.lexical import LexicalIndex, LexicalParts
from coffret_vault.search.passage_table import PassageTable
from coffret_vault.search.passages import PASSAGES
from coffret_vault.search.tables import Tables
from coffret_vault.search.vectors import VectorIndex
from coffret_vault.search.words import ANALYSIS

if TYPE_CHECKING:
    import numpy.typing as npt

_VERSION: Final = (4, ANALYSIS, PASSAGES)

# The arrays of a snapshot: the type of each, and what its length counts.
_ARRAYS: Final = {
    "ids": ("V16", "rows"),
    "alive": ("b1", "rows"),
    "versions": ("u8", "rows"),
    "created": ("i8", "rows"),
    "updated": ("i8", "rows"),
    "importance": ("f8", "rows"),
    "valid_from": ("i8", "rows"),
    "valid_until": ("i8", "rows"),
    "passages": ("u4", "rows"),
    "lengths": ("u4", "rows"),
    "term_sizes": ("u4", "terms"),
    "term_rows": ("u4", "postings"),
    "term_counts": ("u2", "postings"),
    "facet_sizes": ("u4", "facets"),
    "facet_rows": ("u4", "facet postings"),
    "vectors": ("f2", "passages"),
    "graph": ("u1", "bytes"),
}
Arrays = dict[str, "npt.NDArray[Any]"]


class _Header(msgspec.Struct, frozen=True):
    version: tuple[int, int, int]
    model: str
    dimension: int
    terms: list[str]
    facets: list[Facet]


def dump(tables: Tables, model: str) -> bytes:
    """All of an index whose vectors are of ``model``; of removed memories only the empty rows."""
    lexical, columns = tables.lexical.parts(), tables.columns.parts()
    facets = tables.columns.facets.parts()
    vectors, links = tables.vectors.parts()
    none = np.zeros(0, np.uint32)
    arrays: Arrays = {
        **columns._asdict(),
        "passages": tables.passages.counts.astype(np.uint32),
        "lengths": lexical.lengths,
        "term_sizes": lexical.sizes,
        "term_rows": lexical.rows,
        "term_counts": lexical.counts,
        "facet_sizes": np.array([len(rows) for rows in facets.values()], np.uint32),
        "facet_rows": np.concatenate([none, *facets.values()]),
        "vectors": vectors,
        "graph": np.frombuffer(links, np.uint8),
    }
    header = _Header(_VERSION, model, vectors.shape[1], lexical.terms, list(facets))
    return pack(header, arrays)


def restore(snapshot: bytes | memoryview, model: str, dimension: int, graph_from: int) -> Tables:
    """The tables that ``dump()`` wrote.

    Raises:
        IndexDamagedError: of another version or model, or not consistent in itself.
    """
    header, arrays = unpack(snapshot, _Header)
    if header.version != _VERSION:
        _refuse("was made by another version")
    if (header.model, header.dimension) != (model, dimension):
        _refuse("was made with another embedding model")
    _check_shapes(header, arrays)
    _check_contents(header, arrays)
    facets = Facets.from_parts(dict(zip(header.facets, _facet_rows(arrays), strict=True)))
    lexical = LexicalParts(
        header.terms,
        arrays["term_sizes"],
        arrays["term_rows"],
        arrays["term_counts"],
        arrays["lengths"],
    )
    columns = ColumnParts(**{name: arrays[name] for name in ColumnParts._fields})
    return Tables(
        VectorIndex.from_parts(arrays["vectors"], arrays["graph"].tobytes(), graph_from=graph_from),
        Columns.from_parts(columns, facets),
        LexicalIndex.from_parts(lexical, columns.alive),
        PassageTable.from_counts(arrays["passages"]),
    )


def _check_shapes(header: _Header, arrays: Arrays) -> None:
    """Every array is there, of its type, and as long as those that it belongs to."""
    lengths = {"terms": len(header.terms), "facets": len(header.facets)}
    if arrays.keys() != _ARRAYS.keys():
        _refuse("lacks a part")
    for name, (dtype, unit) in _ARRAYS.items():
        array = arrays[name]
        length = lengths.setdefault(unit, len(array) if array.ndim else -1)
        shape = (length, header.dimension) if name == "vectors" else (length,)
        if array.dtype != np.dtype(dtype) or array.shape != shape:
            _refuse("has a part of the wrong shape")


def _check_contents(header: _Header, arrays: Arrays) -> None:
    """What refers to rows, terms or passages refers to such as exist."""
    alive, counts = arrays["alive"], arrays["passages"]
    keys = arrays["ids"][alive].tobytes()
    distinct = {keys[start : start + 16] for start in range(0, len(keys), 16)}
    consistent = (
        alive.view(np.uint8).max(initial=0) <= 1
        and len(distinct) == int(np.count_nonzero(alive))
        and len(set(header.terms)) == len(header.terms)
        and len(set(header.facets)) == len(header.facets)
        and counts.min(initial=1) >= 1
        and int(counts.sum(dtype=np.uint64)) == len(arrays["vectors"])
        and _are_postings(arrays["term_sizes"], arrays["term_rows"], alive)
        and _are_postings(arrays["facet_sizes"], arrays["facet_rows"], alive)
    )
    if not consistent:
        _refuse("contradicts itself")


def _are_postings(
    sizes: npt.NDArray[np.uint32], rows: npt.NDArray[np.uint32], alive: npt.NDArray[np.bool_]
) -> bool:
    """Whether ``rows`` are lists of ``sizes``, none empty, each of ascending rows in use."""
    if sizes.min(initial=1) < 1 or int(sizes.sum(dtype=np.uint64)) != len(rows):
        return False
    ascending = np.diff(rows.astype(np.int64)) > 0
    ascending[np.cumsum(sizes[:-1], dtype=np.int64) - 1] = True  # where one list ends
    in_range = int(rows.max(initial=0)) < len(alive) or not len(rows)
    return in_range and bool(ascending.all()) and bool(alive[rows].all())


def _facet_rows(arrays: Arrays) -> list[npt.NDArray[np.uint32]]:
    ends = np.cumsum(arrays["facet_sizes"], dtype=np.int64)
    return np.split(arrays["facet_rows"], ends[:-1]) if len(ends) else []


def _refuse(what: str) -> NoReturn:
    message = f"The search index {what}."
    raise IndexDamagedError(message)
