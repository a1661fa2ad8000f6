"""The dump of an index: nothing forgotten in it, and nothing believed when it is read."""

import msgspec
import numpy as np
import pytest

from coffret_vault.errors import IndexDamagedError
from coffret_vault.search import SearchIndex, snapshot
from coffret_vault.search.container import pack, unpack
from search_reference import HashingEmbedder, memory


def filled() -> SearchIndex:
    """A small index with every kind of content, and a removed memory."""
    index = SearchIndex(HashingEmbedder())
    index.put(
        memory(
            n,
            f"common word{n} " * (1 + 90 * (n == 3)),
            tags=("a", f"tag{n}"),
            labels={"app": "x"},
            importance=n / 10,
        )
        for n in range(8)
    )
    index.remove([(5).to_bytes(16)])
    return index


def read(dump: bytes) -> SearchIndex:
    """The index of a dump."""
    return SearchIndex.restore(dump, HashingEmbedder())


def test_nothing_of_a_removed_memory_is_in_the_dump() -> None:
    """Neither words, nor tags, nor the id, nor the vector of a forgotten memory remain."""
    index = SearchIndex(HashingEmbedder())
    secret = memory(0x7171717171, "sesquipedalian", tags=("clandestine",), created=0, updated=0)
    index.put([secret, memory(2, "other")])
    before = index.dump()
    assert b"sesquipedalian"[:8] in before
    assert b"clandestine" in before
    vector = HashingEmbedder().embed_query("1 January 1970")  # any vector: only its length matters
    stored = unpack(before, snapshot._Header)[1]["vectors"][0].tobytes()
    assert len(stored) == 2 * len(vector)
    index.remove([(0x7171717171).to_bytes(16)])
    after = index.dump()
    for trace in (b"sesquip", b"clandes", b"\x71" * 5, stored[:16]):
        assert trace in before
        assert trace not in after


def test_another_model_s_snapshot_is_refused() -> None:
    """Vectors of another model, or of another size, mean nothing to this one."""
    dump = filled().dump()
    for embedder in (HashingEmbedder("other/1"), HashingEmbedder(dimension=16)):
        with pytest.raises(IndexDamagedError, match="another embedding model"):
            SearchIndex.restore(dump, embedder)


def test_another_version_s_snapshot_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot from before a change of the analysis is not used after it."""
    dump = filled().dump()
    monkeypatch.setattr(snapshot, "_VERSION", (1, 2, 1))
    with pytest.raises(IndexDamagedError, match="another version"):
        read(dump)


@pytest.mark.parametrize("cut", [0, 5, 16, 20, 24, 60, 200, -1])
def test_a_cut_snapshot_is_refused(cut: int) -> None:
    """Wherever it is cut off, a snapshot is refused; so is one with something after it."""
    dump = filled().dump()
    with pytest.raises(IndexDamagedError):
        read(dump[:cut])
    with pytest.raises(IndexDamagedError):
        read(dump + b"\0")


@pytest.mark.attack(49)
def test_any_damage_is_refused_or_harmless() -> None:
    """Of 2,000 damaged snapshots none does worse than being refused."""
    dump = filled().dump()
    rng = np.random.default_rng(8)
    refused = 0
    for _ in range(2_000):
        damaged = bytearray(dump)
        damaged[rng.integers(0, len(dump))] = rng.integers(0, 256)
        try:
            index = read(bytes(damaged))
            index.search("common word3")
            index.remove([(3).to_bytes(16), (1).to_bytes(16)])
            index.dump()
        except IndexDamagedError:
            refused += 1
    assert refused > 300


@pytest.mark.parametrize("name", list(snapshot._ARRAYS))
@pytest.mark.parametrize("how", ["missing", "shorter", "longer", "type", "shape"])
def test_a_part_of_the_wrong_shape_is_refused(name: str, how: str) -> None:
    """Each array must be there, of its type and as long as its fellows."""
    header, arrays = unpack(filled().dump(), snapshot._Header)
    array = arrays.pop(name)
    changed = {
        "shorter": lambda: array[:-1],
        "longer": lambda: np.concatenate([array, array]),
        "type": lambda: array.view("V1") if array.dtype.itemsize == 1 else array.view("u1"),
        "shape": lambda: array[None],
    }
    if how != "missing":
        arrays[name] = changed[how]()
    if name == "graph" and how in ("shorter", "longer"):
        return  # the graph's own length is checked with the graph: see test_graph
    with pytest.raises(IndexDamagedError):
        read(pack(header, arrays))


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("term_rows", 0, 8),
        ("term_rows", 0, 5),
        ("facet_rows", 0, 99),
        ("term_sizes", 0, 0),
        ("term_sizes", 0, 2**32 - 1),
        ("passages", 0, 0),
        ("passages", 0, 7),
        ("ids", 0, (1).to_bytes(16)),
        ("alive", 0, False),
        ("vectors", (0, 0), np.nan),
        ("vectors", (0, 0), np.inf),
    ],
)
def test_a_contradiction_is_refused(name: str, place: int, value: object) -> None:
    """Rows that are not there, lists out of order, double ids and odd numbers are refused."""
    header, arrays = unpack(filled().dump(), snapshot._Header)
    arrays[name] = arrays[name].copy()
    arrays[name][place] = np.void(value) if isinstance(value, bytes) else value
    with pytest.raises(IndexDamagedError):
        read(pack(header, arrays))


def test_rows_out_of_order_are_refused() -> None:
    """Removing looks rows up by bisection, so every list must ascend."""
    header, arrays = unpack(filled().dump(), snapshot._Header)
    longest = int(arrays["term_sizes"].argmax())
    start = int(arrays["term_sizes"][:longest].sum())
    rows = arrays["term_rows"].copy()
    rows[start], rows[start + 1] = rows[start + 1], rows[start]
    with pytest.raises(IndexDamagedError, match="contradicts"):
        read(pack(header, arrays | {"term_rows": rows}))


@pytest.mark.parametrize("what", ["terms", "facets"])
def test_doubled_names_are_refused(what: str) -> None:
    """A term or facet listed twice would hide the rows of one of them."""
    header, arrays = unpack(filled().dump(), snapshot._Header)
    names = list(getattr(header, what))
    doubled = msgspec.structs.replace(header, **{what: [*names[:-1], names[0]]})
    with pytest.raises(IndexDamagedError, match="contradicts"):
        read(pack(doubled, arrays))


def test_an_empty_index_survives() -> None:
    """An index without memories can be dumped, restored and filled."""
    index = read(SearchIndex(HashingEmbedder()).dump())
    assert index.search("anything") == []
    index.put([memory(1, "anything")])
    assert len(index.search("anything")) == 1
