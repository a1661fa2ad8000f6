"""For all histories of an index, it answers as plain code does."""

from contextlib import ExitStack
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coffret_vault.search import Document, Filters, Hit, Mode, SearchIndex, tables
from search_reference import HashingEmbedder, bm25, cosines, fused, key, memory, passes

WORDS = "lisbon tram tile coffee train walk river market rain violin 東京旅行 café the who".split()  # noqa: SIM905 - readable
text = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
long_text = st.integers(200, 260).map(lambda n: " ".join(WORDS[i % 7] for i in range(n)))
few = st.integers(0, 9)


@st.composite
def memories(draw: st.DrawFn) -> Document:
    """Memories that share words, values and ids."""
    return memory(
        draw(few),
        draw(text | long_text),
        version=draw(st.integers(1, 3)),
        title=draw(text),
        created=draw(few) * 1_000,
        updated=draw(few) * 1_000,
        tags=tuple(draw(st.lists(st.sampled_from("abc"), max_size=3))),
        type=draw(st.sampled_from(["fact", "goal", ""])),
        author=draw(st.sampled_from(["owner", "app"])),
        status=draw(st.sampled_from(["approved", "pending_review"])),
        importance=draw(st.none() | st.floats(0, 1)),
        valid_from=draw(st.none() | few.map(lambda n: (n - 4) * 1_000)),
        valid_until=draw(st.none() | few.map(lambda n: (n - 4) * 1_000)),
        source=draw(st.sampled_from(["", "notes", "chat"])),
        labels=draw(st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"), max_size=2)),
        metadata=draw(st.none() | st.frozensets(st.tuples(*map(st.sampled_from, ("xy", "12"))))),
    )


steps = st.lists(st.lists(memories(), max_size=4) | few, max_size=12)
bound = st.none() | st.integers(0, 9_000)
share = st.none() | st.floats(0, 1)
filters = st.builds(
    Filters,
    any_tags=st.none() | st.frozensets(st.sampled_from("abcd")),
    all_tags=st.frozensets(st.sampled_from("abc"), max_size=2),
    types=st.none() | st.frozensets(st.sampled_from(["fact", "goal"])),
    authors=st.none() | st.frozensets(st.sampled_from(["owner", "app", "other"])),
    statuses=st.none() | st.frozensets(st.sampled_from(["approved", "rejected"])),
    sources=st.none() | st.frozensets(st.sampled_from(["notes", "chat", "mail"])),
    ids=st.none() | st.frozensets(few.map(key)),
    labels=st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"), max_size=1),
    metadata=st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"), max_size=2),
    unlisted=st.frozensets(few.map(key)),
    importance_min=share,
    importance_max=share,
    created_after=bound,
    created_before=bound,
    updated_after=bound,
    updated_before=bound,
    valid_on=st.none()
    | few.map(lambda n: (n - 4) * 1_000)
    | st.sampled_from([-(1 << 70), 1 << 70]),
)


def lived(history: list[list[Document] | int]) -> tuple[SearchIndex, dict[bytes, Document]]:
    """An index with a history, and what it should now hold. Drops empty rows eagerly."""
    index = SearchIndex(HashingEmbedder())
    held: dict[bytes, Document] = {}
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(tables, "_EMPTY_LEAST", 2))
        for step in history:
            if isinstance(step, int):
                index.remove([key(step)])
                held.pop(key(step), None)
            else:
                index.put(step)
                held.update({document.id: document for document in step})
    return index, held


def scores(hits: list[Hit]) -> dict[bytes, float]:
    """The score of each memory found."""
    return {hit.id: hit.score for hit in hits}


@settings(max_examples=60, deadline=None)
@given(steps, text.filter(str.strip), st.sampled_from(["fused", "semantic", "words"]))
def test_a_lived_index_answers_like_plain_code(
    history: list[list[Document] | int], question: str, mode: Mode
) -> None:
    """After any additions, updates and removals, scores are those of the formulas."""
    index, held = lived(history)
    hits = index.search(question, limit=50, mode=mode)
    documents = list(held.values())
    assert len(index) == len(held)
    if not documents:
        assert hits == []
        return
    semantic = cosines(documents, question, HashingEmbedder())
    lexical = bm25(documents, question)
    expected = {
        "fused": lambda: fused(semantic, lexical),
        "semantic": lambda: {k: max(0.0, v) for k, v in semantic.items()},
        "words": lambda: {k: v / max(lexical.values()) for k, v in lexical.items() if v > 0},
    }[mode]()
    # The vectors are 16-bit floats and their spread is stretched to 1: scores agree to a thousandth
    # as long as the spread is not itself of that size.
    spread = max(semantic.values()) - min(semantic.values())
    close = 5e-3 if mode != "fused" or spread > 0.2 or len(documents) == 1 else 1.0
    assert scores(hits) == pytest.approx(expected, abs=close)
    assert [hit.score for hit in hits] == sorted((h.score for h in hits), reverse=True)
    assert all(0 <= hit.score <= 1 + 1e-6 for hit in hits)


@settings(max_examples=60, deadline=None)
@given(steps, text.filter(str.strip), st.sampled_from(["fused", "semantic"]), st.floats(-1, 1))
def test_a_least_similarity_leaves_out_and_changes_nothing(
    history: list[list[Document] | int], question: str, mode: Mode, least: float
) -> None:
    """Exactly the hits stay that are so similar or have every word, with the scores they had."""
    index, held = lived(history)
    hits = index.search(question, limit=50, mode=mode)
    true = cosines(list(held.values()), question, HashingEmbedder())
    for hit in hits:
        assert hit.similarity == pytest.approx(true[hit.id], abs=2e-3)
        assert -1 <= (hit.similarity or 0) <= 1
        assert (hit.coverage == 1) <= bool(hit.words)
    kept = [hit for hit in hits if (hit.similarity or 0) >= least or hit.coverage == 1]
    assert index.search(question, limit=50, mode=mode, min_similarity=least) == kept


@settings(max_examples=60, deadline=None)
@given(steps, filters)
def test_filters_keep_what_plain_conditions_keep(
    history: list[list[Document] | int], asked: Filters
) -> None:
    """Exactly the memories that pass every condition are found, whatever the question."""
    index, held = lived(history)
    hits = index.search("lisbon", filters=asked, limit=50, mode="semantic")
    assert {hit.id for hit in hits} == {k for k, d in held.items() if passes(d, asked)}
    for hit in hits:
        assert hit.version == held[hit.id].version


@settings(max_examples=40, deadline=None)
@given(steps, text.filter(str.strip), filters)
def test_a_restored_index_is_the_same_index(
    history: list[list[Document] | int], question: str, asked: Filters
) -> None:
    """Restored from its dump, an index gives the same hits now and after further changes."""
    index, held = lived(history)
    again = SearchIndex.restore(index.dump(), HashingEmbedder())
    for _ in range(2):
        assert again.search(question, limit=50) == index.search(question, limit=50)
        assert again.search(question, filters=asked) == index.search(question, filters=asked)
        assert again.dump() == index.dump()
        for one in (index, again):
            one.remove(list(held)[:2])
            one.put([memory(3, "a walk along the river", tags=("a",))])


@settings(max_examples=40, deadline=None)
@given(steps, st.dictionaries(few.map(key), st.integers(1, 3)))
def test_catching_up_leaves_nothing_stale(
    history: list[list[Document] | int], known: dict[bytes, int]
) -> None:
    """Putting and removing what ``stale`` names makes the index hold exactly what is known."""
    index, _ = lived(history)
    stale = index.stale(known)
    index.put([memory(int.from_bytes(k), "new", version=known[k]) for k in stale.to_put])
    index.remove(stale.to_remove)
    assert index.stale(known) == ([], [])
    assert len(index) == len(known)
