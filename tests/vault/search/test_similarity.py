"""How similar a hit is, said so that searches can be compared, and nothing where nothing fits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from coffret_vault.errors import InputError
from coffret_vault.search import MiniLmEmbedder, Mode, SearchIndex
from search_reference import HashingEmbedder, cosines, key, memory

WORDS = ("lisbon", "tram", "tile", "coffee", "train", "walk", "river", "market", "rain", "violin")
MANY = [memory(n, f"{WORDS[n % 10]} {WORDS[n % 7]} {n}") for n in range(1_500)]


@pytest.fixture(scope="module", params=["exact", "graph"])
def many(request: pytest.FixtureRequest) -> SearchIndex:
    """Many memories, compared one by one or through a graph."""
    if request.param == "graph":
        pytest.importorskip("hnswlib")
    index = SearchIndex(
        HashingEmbedder(), graph_from=100 if request.param == "graph" else len(MANY) + 1
    )
    index.put(MANY)
    assert index._tables.vectors.approximate == (request.param == "graph")
    return index


@pytest.fixture(scope="module")
def real() -> SearchIndex:
    """A few memories under the default model."""
    index = SearchIndex(MiniLmEmbedder())
    texts = [
        "I am allergic to peanuts and carry an epinephrine pen.",
        "We rented bicycles in Amsterdam and rode along the canals.",
        "The insurance policy has the number KX-4471-B.",
        "Sold the old Volkswagen, picked up the electric one.",
    ]
    index.put(memory(n, text) for n, text in enumerate(texts))
    return index


def test_the_best_of_any_question_scores_alike(real: SearchIndex) -> None:
    """A question that nothing fits gives the score of one that fits, and another similarity."""
    fits, not_at_all = (
        real.search(text)[0] for text in ("holiday cycling", "quantum chromodynamics")
    )
    assert fits.words == not_at_all.words == ()
    assert fits.score == not_at_all.score == 0.5
    assert (fits.similarity or 0) > 0.35
    assert (not_at_all.similarity or 0) < 0.1


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("holiday cycling", [1]),
        ("quantum chromodynamics", []),
        ("which food must I avoid", [0]),
        ("the recipe for pancakes", []),
    ],
)
def test_nothing_is_found_where_nothing_fits(
    real: SearchIndex, question: str, found: list[int]
) -> None:
    """With a least similarity, the default model tells what fits from what does not."""
    hits = real.search(question, min_similarity=0.2)
    assert [hit.id for hit in hits] == [key(n) for n in found]


@pytest.mark.parametrize("question", ["coffee by the river", "violin 77", "nothing of it"])
@pytest.mark.parametrize("mode", ["fused", "semantic"])
def test_similarity_is_the_cosine_on_every_path(
    many: SearchIndex, question: str, mode: Mode
) -> None:
    """Of the near and of what only words brought in, exactly and through a graph, alone or not."""
    true = cosines(MANY, question, HashingEmbedder())
    hits = many.search(question, limit=150, mode=mode)
    assert len(hits) == 150
    for hit in hits:
        assert hit.similarity == pytest.approx(true[hit.id], abs=2e-3)
    (one,) = many.search(question, limit=1, mode=mode)
    assert (one.id, one.similarity) == (hits[0].id, hits[0].similarity)


@pytest.mark.parametrize("least", [0.2, 0.5, 0.8, 1.0])
def test_a_least_similarity_holds_on_every_path(many: SearchIndex, least: float) -> None:
    """What is left out are the hits below it that lack a word, and scores stay as they were."""
    every = many.search("lisbon 700", limit=100)
    kept = [hit for hit in every if (hit.similarity or 0) >= least or hit.coverage == 1]
    some = many.search("lisbon 700", limit=len(kept), min_similarity=least)
    assert some == kept
    for hit in many.search("lisbon 700", mode="semantic", limit=100, min_similarity=least):
        assert (hit.similarity or 0) >= least


def test_all_words_count_as_a_match_and_some_do_not() -> None:
    """An id is found that no model places, and a word in common alone does not keep a memory."""
    index = SearchIndex(HashingEmbedder())
    filler = " ".join(f"filler{n}" for n in range(100))
    index.put([memory(1, f"KX-4471-B {filler}"), memory(2, f"KX-9 {filler}")])
    both = index.search("KX-4471-B")
    assert [hit.coverage for hit in both] == [1.0, pytest.approx(1 / 3)]
    assert all((hit.similarity or 0) < 0.9 for hit in both)
    (hit,) = index.search("KX-4471-B", min_similarity=0.9)
    assert (hit.id, hit.words) == (key(1), ("kx", "4471", "b"))
    assert index.search("KX-4471-B", min_similarity=0.9, mode="semantic") == []


def test_coverage_is_a_share_of_what_was_asked() -> None:
    """Stop words do not count, a word in another form does, and a word said twice counts once."""
    index = SearchIndex(HashingEmbedder())
    index.put([memory(1, "We travelled to Lisbon")])
    (hit,) = index.search("Where in Lisbon, Lisbon! is the travelling octopus?")
    assert hit.coverage == pytest.approx(2 / 3)
    assert index.search("?!")[0].coverage == 0
    assert index.search("lisbon", mode="words")[0].coverage == 1
    assert index.search("lisbon", mode="semantic")[0].coverage == 0


def test_a_cosine_is_one_at_most() -> None:
    """Vectors kept as 16-bit floats may be longer than 1; what is said of them is not."""
    index = SearchIndex(HashingEmbedder())
    texts = [f"text {n} of many" for n in range(200)]
    index.put(memory(n, text, created=10**17) for n, text in enumerate(texts))
    raw = index._tables.vectors.likeness(HashingEmbedder().embed_query("text 3 of many"))
    index._tables.vectors._vectors.view[:] *= np.float32(1.5)
    assert index._tables.vectors.likeness(HashingEmbedder().embed_query(texts[3])).max() > raw.max()
    for mode in ("fused", "semantic"):
        hits = index.search(texts[3], limit=200, mode=mode, min_similarity=1)
        assert {hit.similarity for hit in hits} <= {1.0}


@pytest.mark.parametrize("least", [1.5, -1.01, math.nan, math.inf])
def test_a_least_similarity_that_is_none_is_refused(many: SearchIndex, least: float) -> None:
    """No cosine is beyond 1: such a bound would answer nothing or everything, and say neither."""
    with pytest.raises(InputError, match="between -1 and 1"):
        many.search("x", min_similarity=least)


def test_words_alone_have_no_similarity(many: SearchIndex) -> None:
    """A search that embeds nothing refuses a least similarity, and does not pass over it."""
    with pytest.raises(InputError, match="by words alone"):
        many.search("lisbon", mode="words", min_similarity=0.1)
    assert many.search("lisbon", mode="words")[0].similarity is None
