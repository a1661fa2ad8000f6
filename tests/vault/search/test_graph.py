"""The graph: as good as comparing with all, and safe to restore from any bytes."""

import sys

import msgspec
import numpy as np
import pytest

from coffret_vault.errors import IndexDamagedError
from coffret_vault.search.embedder import Vectors
from coffret_vault.search.graph import Graph
from coffret_vault.search.graph_state import decode_state
from coffret_vault.search.vectors import VectorIndex

pytest.importorskip("hnswlib")
DIMENSION = 24


def made(count: int, seed: int = 1) -> Vectors:
    """Unit vectors in clusters, as the vectors of texts are."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, DIMENSION))
    rows = centres[rng.integers(0, 20, count)] + 0.5 * rng.standard_normal((count, DIMENSION))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def nearest_alive(index: VectorIndex, vector: Vectors, count: int) -> set[int]:
    """The true nearest vectors that were not removed."""
    return set(np.argsort(-index.likeness(vector), kind="stable")[:count].tolist())


def recall(index: VectorIndex, questions: Vectors) -> float:
    """Which share of the ten nearest the graph finds."""
    found = sum(
        len(set(index.nearest(q, 10).tolist()) & nearest_alive(index, q, 10)) for q in questions
    )
    return found / (10 * len(questions))


@pytest.fixture
def index() -> VectorIndex:
    """Two thousand vectors with a graph, of which a fifth was removed."""
    index = VectorIndex(DIMENSION, graph_from=1_000)
    index.add(made(1_500))
    index.add(made(500, seed=2))
    for number in range(0, 2_000, 5):
        index.remove(number, 1)
    return index


def test_the_graph_finds_what_comparing_with_all_finds(index: VectorIndex) -> None:
    """After additions and removals at least 98 of 100 true neighbours are found."""
    assert index.approximate
    assert recall(index, made(50, seed=3)) > 0.98


def test_removed_vectors_are_never_answered(index: VectorIndex) -> None:
    """Asked for as many as are left, the graph names no removed vector."""
    found = index.nearest(made(1)[0], 5_000)
    assert len(found)
    assert not (found % 5 == 0).any()


def test_a_restored_graph_is_as_good_and_grows_on(index: VectorIndex) -> None:
    """A restored graph finds as much, hides what was removed and takes new vectors."""
    again = VectorIndex.from_parts(*index.parts(), graph_from=1_000)
    assert again.approximate
    assert recall(again, made(50, seed=3)) > 0.98
    assert not (again.nearest(made(1)[0], 1_000) % 5 == 0).any()
    newest = made(1, seed=9)
    again.add(np.repeat(newest, 600, axis=0))
    assert again.nearest(newest[0], 1)[0] >= 2_000


def test_parts_hold_no_removed_vector() -> None:
    """The bytes of a removed vector are in no part, in 16 or in 32 bits."""
    index = VectorIndex(DIMENSION, graph_from=50)
    index.add(made(100))
    kept, gone = index.parts()[0][0].copy(), index.parts()[0][1].copy()
    index.remove(1, 1)
    stored, links = index.parts()
    for form in (np.float16, np.float32):
        assert gone.astype(form).tobytes()[:16] not in stored.tobytes() + links
    assert kept.tobytes() in stored.tobytes()


def test_zero_vectors_come_and_go() -> None:
    """Vectors without direction are never answered, and can be removed like others."""
    index = VectorIndex(DIMENSION, graph_from=10)
    index.add(np.vstack([made(20), np.zeros((3, DIMENSION), np.float32)]))
    index.add(np.zeros((2, DIMENSION), np.float32))
    index.remove(20, 4)
    again = VectorIndex.from_parts(*index.parts(), graph_from=10)
    for one in (index, again):
        assert set(one.nearest(made(1)[0], 25).tolist()) == set(range(20))


def test_dropping_empty_rows_makes_the_graph_anew(index: VectorIndex) -> None:
    """After dropping, vectors have new numbers and the graph knows them."""
    keep = np.arange(2_000) % 5 > 0
    index.compact(keep)
    assert len(index) == 1_600
    assert index.approximate
    assert recall(index, made(50, seed=3)) > 0.98


def test_without_hnswlib_search_is_exact_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hnswlib is missing there is no graph, a restored one is left out, and a notice."""
    with_graph = VectorIndex(DIMENSION, graph_from=50)
    with_graph.add(made(100))
    assert with_graph.notice is None
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    restored = VectorIndex.from_parts(*with_graph.parts(), graph_from=50)
    fresh = VectorIndex(DIMENSION, graph_from=50)
    assert fresh.notice is None
    fresh.add(made(100))
    for index in (restored, fresh):
        assert not index.approximate
        assert "hnswlib" in (index.notice or "")
        with pytest.raises(ValueError, match="no graph"):
            index.nearest(made(1)[0], 1)


def test_any_damage_to_a_graph_is_refused_or_harmless() -> None:
    """Of 1,500 damaged states none crashes: refused, or a graph that can be asked."""
    vectors = made(300)
    graph = Graph(DIMENSION)
    graph.add(vectors)
    state = graph.state()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(1_500):
        damaged = bytearray(state)
        for place in rng.integers(0, len(state), rng.integers(1, 4)):
            damaged[place] = int(rng.integers(0, 256))
        try:
            Graph.from_state(bytes(damaged), vectors).nearest(vectors[0], 10)
        except IndexDamagedError:
            refused += 1
    assert refused > 500


@pytest.mark.parametrize(
    "change",
    [
        {"max_elements": 10**9},
        {"max_elements": 1},
        {"max_level": -1},
        {"max_level": 0},
        {"max_level": 10**6},
        {"enterpoint_node": 300},
        {"num_threads": 10**6},
        {"num_threads": 0},
        {"links": b""},
        {"links": b"\xff" * 300 * 140},
        {"link_lists": b""},
        {"link_lists": b"\xff" * 68},
        {"element_levels": b""},
        {"element_levels": b"\x01\0\0\0" * 1024},
        {"label_lookup_external": bytes(8 * 300)},
        {"label_lookup_internal": b"\xff" * 4 * 300},
        {"has_deletions": 3},
    ],
)
def test_a_state_that_contradicts_its_vectors_is_refused(change: dict[str, object]) -> None:
    """Each number that the library would believe is compared with what it must be."""
    vectors = made(300)
    graph = Graph(DIMENSION)
    graph.add(vectors)
    state = msgspec.msgpack.decode(graph.state())
    decode_state(msgspec.msgpack.encode(state), vectors)
    with pytest.raises(IndexDamagedError):
        decode_state(msgspec.msgpack.encode(state | change), vectors)


def test_a_state_of_other_vectors_is_refused() -> None:
    """A graph over fewer vectors than there are does not pass for theirs."""
    graph = Graph(DIMENSION)
    graph.add(made(50))
    with pytest.raises(IndexDamagedError):
        Graph.from_state(graph.state(), made(51))


def test_a_state_that_hides_what_is_there_is_refused() -> None:
    """Only a vector that was removed is hidden: one that is there would be hidden twice."""
    vectors = made(20)
    graph = Graph(vectors.shape[1])
    graph.add(vectors)
    graph.hide(3)
    with pytest.raises(IndexDamagedError):
        Graph.from_state(graph.state(), vectors)
    removed = vectors.copy()
    removed[3] = 0
    assert len(Graph.from_state(graph.state(), removed)) == len(vectors)
