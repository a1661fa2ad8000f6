"""Search at 10,000 memories and more: milliseconds by stage, exact against graph, and unlocking.

    python bench/search_latency.py [--memories 10000] [--graph-memories 30000]

The vectors are made, not embedded: clustered as those of real texts are. The words are as frequent
as in English (Zipf and Mandelbrot) without its stop words, which the index leaves out: the
commonest is in one memory of ten. Figures are for one process on this machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from coffret_vault.search import Document, Filters, SearchIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coffret_vault.search.embedder import Vectors

DIMENSION = 384
QUESTIONS = 300
VOCABULARY = 20_000
SYLLABLES = "ba ce di fo gu la me ni po ru sa te vi zo ka".split()  # noqa: SIM905 - a word list


class MadeEmbedder:
    """Vectors around random centres, one after the other, whatever the text."""

    model_id = "made/1"
    dimension = DIMENSION

    def __init__(self) -> None:
        """Seed everything."""
        self._random = np.random.default_rng(7)
        self._centres = self._random.standard_normal((300, DIMENSION)).astype(np.float32)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """The next vectors."""
        places = self._random.integers(0, len(self._centres), len(texts))
        noise = self._random.standard_normal((len(texts), DIMENSION)).astype(np.float32)
        vectors = self._centres[places] + noise
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def embed_query(self, text: str) -> Vectors:
        """The next vector."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector


def corpus(count: int) -> list[Document]:
    """Memories of some 40 words out of 20,000, with tags, types and times."""
    rng = np.random.default_rng(11)
    words = np.array(["".join(rng.choice(SYLLABLES, 3)) + str(n) for n in range(VOCABULARY)])
    frequency = 1 / (np.arange(VOCABULARY) + 30.0)
    drawn = rng.choice(VOCABULARY, (count, 44), p=frequency / frequency.sum())
    return [
        Document(
            id=number.to_bytes(16),
            version=1,
            created=1_600_000_000_000_000 + number * 3_600_000_000,
            updated=1_600_000_000_000_000 + number * 3_600_000_000,
            title=" ".join(words[drawn[number, :4]]),
            content=" ".join(words[drawn[number, 4:]]),
            tags=(f"tag{number % 40}", "travel") if number % 5 == 0 else (f"tag{number % 40}",),
            type=("fact", "experience", "preference")[number % 3],
            importance=(number % 100) / 100,
            author="owner",
            status="approved",
        )
        for number in range(count)
    ]


def median_ms(calls: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """The median and the 95th percentile of the calls, in milliseconds."""
    taken = []
    for call in calls:
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


def show(name: str, times: tuple[float, float]) -> None:
    """One line of the table."""
    print(f"{name:52}{times[0]:9.3f}{times[1]:9.3f}")


def measure(documents: list[Document], *, graph: bool) -> SearchIndex:
    """Time searches over ``documents`` with or without a graph."""
    embedder = MadeEmbedder()
    start = time.perf_counter()
    index = SearchIndex(embedder, graph_from=1_000 if graph else 10**9)
    index.put(documents)
    kind = "graph" if graph else "exact"
    print(f"\n{len(documents):,} memories, {kind}; indexed in {time.perf_counter() - start:.1f} s")
    rng = np.random.default_rng(3)
    chosen = rng.integers(0, len(documents), QUESTIONS)
    asked = [f"where did I {documents[i].content[:60].rpartition(' ')[0]}?" for i in chosen]
    vectors = embedder.embed_documents(asked)
    day = 86_400_000_000
    narrow = Filters(any_tags=frozenset({"travel"}), importance_min=0.8)
    wide = Filters(
        types=frozenset({"fact", "experience"}),
        statuses=frozenset({"approved"}),
        created_after=documents[0].created + 30 * day,
        importance_min=0.2,
    )
    for name, mode, filters in (
        ("fused, no filter", "fused", None),
        ("fused, filter keeps about half", "fused", wide),
        ("fused, filter keeps 4 %", "fused", narrow),
        ("meaning alone", "semantic", None),
        ("words alone", "words", None),
    ):
        calls = [
            lambda q=q, v=v, m=mode, f=filters: index.rank(q, v, mode=m, filters=f)
            for q, v in zip(asked, vectors, strict=True)
        ]
        show(name, median_ms(calls))
    return index


def unlock(index: SearchIndex, *, graph: bool) -> None:
    """Time the dump, and from the bytes to the first hit."""
    graph_from = 1_000 if graph else 10**9
    start = time.perf_counter()
    snapshot = index.dump()
    dumped = time.perf_counter()
    again = SearchIndex.restore(snapshot, MadeEmbedder(), graph_from=graph_from)
    restored = time.perf_counter()
    assert again.search("bacedi1 the first question")
    first = time.perf_counter()
    print(
        f"snapshot {len(snapshot) / 1e6:.1f} MB: dumped in {(dumped - start) * 1e3:.0f} ms, "
        f"restored in {(restored - dumped) * 1e3:.0f} ms, "
        f"first hit after {(first - restored) * 1e3:.1f} ms more"
    )


def recall(exact: SearchIndex, graph: SearchIndex) -> float:
    """Which share of the exact ten nearest the graph finds."""
    questions = MadeEmbedder().embed_documents([""] * QUESTIONS)
    found = 0
    for vector in questions:
        true = {hit.id for hit in exact.rank("x", vector, mode="semantic")}
        found += len(true & {hit.id for hit in graph.rank("x", vector, mode="semantic")})
    return found / (10 * QUESTIONS)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--graph-memories", type=int, default=30_000)
    options = parser.parse_args()
    print(f"{'milliseconds a search, after embedding the question':52}{'p50':>9}{'p95':>9}")
    documents = corpus(max(options.memories, options.graph_memories))
    for count in (options.memories, options.graph_memories):
        both = []
        for graph in (False, True):
            index = measure(documents[:count], graph=graph)
            unlock(index, graph=graph)
            both.append(index)
        print(f"the graph finds {recall(*both):.3f} of the exact ten nearest")


if __name__ == "__main__":
    main()
