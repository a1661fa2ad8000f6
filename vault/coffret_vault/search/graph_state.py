"""The state of an ``hnswlib`` index as bytes, and back, every number checked.

The library believes what it is given: a link to a vector that does not exist is a crash. So
nothing reaches it here that was not checked, although the bytes were authenticated before.

The vectors are cut out of the state and put back from the search index's own, so that a snapshot
neither holds each vector twice nor the vector of any memory that was forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec
import numpy as np

from coffret_vault.errors import IndexDamagedError

if TYPE_CHECKING:
    import numpy.typing as npt

    from coffret_vault.search.embedder import Vectors

LINKS: Final = 16  # M: links of an element on the upper levels; twice as many on the lowest
BUILD_BREADTH: Final = 200  # ef_construction
_LOWEST_LINKS: Final = 2 * LINKS
_LEVEL_BYTES: Final = 4 + 4 * LINKS  # how many links, then their numbers
_BEFORE: Final = 4 + 4 * _LOWEST_LINKS  # the same of the lowest level; the vector follows
_LABEL: Final = 8
_HIDDEN_AT: Final = 2  # the byte behind the count of links, of which one bit hides the element
_HIDDEN: Final = 1
_MOST_LEVELS: Final = 64
_ARRAYS: Final = {
    "label_lookup_external": "<u8",
    "label_lookup_internal": "<u4",
    "element_levels": "<i4",
    "link_lists": "|i1",
}


class _State(msgspec.Struct, frozen=True):
    """What varies in the state; the rest follows from it and from the vectors."""

    max_elements: int
    max_level: int
    enterpoint_node: int
    has_deletions: bool
    num_threads: int
    label_lookup_external: bytes
    label_lookup_internal: bytes
    element_levels: bytes
    link_lists: bytes
    links: bytes


def encode_state(state: dict[str, Any]) -> bytes:
    """The state that ``hnswlib`` gives for pickling, without the vectors."""
    table = state["data_level0"].reshape(state["cur_element_count"], -1)
    vector = slice(state["offset_data"], state["label_offset"])
    kept = {name: state[name] for name in _State.__struct_fields__ if name in state}
    kept |= {name: state[name].astype(dtype).tobytes() for name, dtype in _ARRAYS.items()}
    return msgspec.msgpack.encode(
        _State(**kept, links=np.delete(table, vector, axis=1).tobytes()),
    )


def decode_state(encoded: bytes, vectors: Vectors) -> dict[str, Any]:
    """The state to give to ``hnswlib``, over ``vectors``.

    Raises:
        IndexDamagedError: the state is not one of a graph over so many vectors.
    """
    try:
        state = msgspec.msgpack.decode(encoded, type=_State)
        return _whole(state, vectors)
    except (msgspec.MsgspecError, ValueError, IndexError, RecursionError):
        _refuse()


def _whole(state: _State, vectors: Vectors) -> dict[str, Any]:
    count, dimension = vectors.shape
    arrays: dict[str, npt.NDArray[Any]] = {
        name: np.frombuffer(getattr(state, name), dtype) for name, dtype in _ARRAYS.items()
    }
    lowest = np.frombuffer(state.links, np.int8).reshape(count, _BEFORE + _LABEL)
    links, tail = lowest[:, :_BEFORE], np.ascontiguousarray(lowest[:, _BEFORE:])
    labels = tail.view("<u8").ravel()
    _check_numbers(state, count)
    _check_labels(labels, arrays)
    _check_levels(state, links, arrays)
    _check_hidden(links, labels, vectors)
    ordered = np.ascontiguousarray(vectors[labels.astype(np.int64)], np.float32)
    table = np.hstack([links, ordered.view(np.int8), tail])
    return {
        **_constants(dimension),
        "max_elements": state.max_elements,
        "cur_element_count": count,
        "max_level": state.max_level,
        "enterpoint_node": state.enterpoint_node,
        "has_deletions": state.has_deletions,
        "num_threads": state.num_threads,
        "data_level0": table.ravel(),
        **arrays,
    }


def _constants(dimension: int) -> dict[str, Any]:
    """What is the same in every graph of ours."""
    return {
        "ser_version": 1,
        "space": "ip",
        "dim": dimension,
        "index_inited": True,
        "ep_added": True,
        "normalize": False,
        "seed": 1,
        "offset_level0": 0,
        "offset_data": _BEFORE,
        "label_offset": _BEFORE + 4 * dimension,
        "size_data_per_element": _BEFORE + 4 * dimension + _LABEL,
        "size_links_per_element": _LEVEL_BYTES,
        "max_M": LINKS,
        "max_M0": _LOWEST_LINKS,
        "M": LINKS,
        "mult": 1 / np.log(LINKS),
        "ef_construction": BUILD_BREADTH,
        "ef": 10,
        "allow_replace_deleted": False,
    }


def _check_numbers(state: _State, count: int) -> None:
    in_range = (
        count <= state.max_elements <= 2 * count + 1024
        and 0 <= state.max_level < _MOST_LEVELS
        and 0 <= state.enterpoint_node < count
        and 0 < state.num_threads <= 1024  # noqa: PLR2004 - far beyond any machine's cores
        and len(state.element_levels) == 4 * state.max_elements
    )
    if not in_range:
        _refuse()


def _check_labels(labels: npt.NDArray[np.uint64], arrays: dict[str, npt.NDArray[Any]]) -> None:
    """The labels are the numbers of the vectors, and the look-up agrees with the elements."""
    numbers = np.arange(len(labels), dtype=np.uint64)
    outer, inner = arrays["label_lookup_external"], arrays["label_lookup_internal"]
    if not np.array_equal(np.sort(labels), numbers) or not np.array_equal(np.sort(outer), numbers):
        _refuse()
    if not np.array_equal(labels[inner], outer):
        _refuse()


def _check_levels(
    state: _State, lowest: npt.NDArray[np.int8], arrays: dict[str, npt.NDArray[Any]]
) -> None:
    """Every link leads to an element, and on the upper levels to one that reaches so high."""
    count = len(lowest)
    levels = arrays["element_levels"][:count]
    if levels.min() < 0 or not levels.max() == levels[state.enterpoint_node] == state.max_level:
        _refuse()
    if arrays["element_levels"][count:].any():  # of elements yet to come
        _refuse()
    _check_links(lowest, _LOWEST_LINKS, levels, np.zeros(count, np.int32))
    upper = arrays["link_lists"].reshape(int(levels.sum()), _LEVEL_BYTES)
    heights = np.concatenate(
        [np.zeros(0, np.int32), *(np.arange(1, n + 1) for n in levels[levels > 0])]
    )
    _check_links(upper, LINKS, levels, heights)


def _check_hidden(
    lowest: npt.NDArray[np.int8], labels: npt.NDArray[np.uint64], vectors: Vectors
) -> None:
    """Only what was removed is hidden: a vector that is still there can be hidden once more."""
    hidden = (lowest[:, _HIDDEN_AT] & _HIDDEN) != 0
    if vectors[labels[hidden].astype(np.int64)].any():
        _refuse()


def _check_links(
    table: npt.NDArray[np.int8],
    most: int,
    levels: npt.NDArray[np.int32],
    heights: npt.NDArray[np.integer[Any]],
) -> None:
    """Each row of ``table`` is a count and that many links, at the level in ``heights``."""
    words = np.ascontiguousarray(table).view("<u4")
    counts = words[:, 0] & 0xFFFF  # the rest of the word marks hidden elements
    if counts.max(initial=0) > most:
        _refuse()
    used = np.arange(most) < counts[:, None]
    targets = words[:, 1:][used]
    if len(targets) and int(targets.max()) >= len(levels):
        _refuse()
    at_height = np.broadcast_to(heights[:, None], used.shape)[used]
    if (levels[targets] < at_height).any():
        _refuse()


def _refuse() -> NoReturn:
    message = "The graph in the search index does not fit its vectors."
    raise IndexDamagedError(message) from None
