"""A list and a search take the same filters, and mean the same by them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from coffret.arguments import listing_of, search_of
from coffret.keptindex import document
from coffret_vault.formats.author import OWNER, Author
from coffret_vault.formats.memory import IMPORTANCE_ONE, Header
from coffret_vault.records.memory import Memory, Review, to_micros
from coffret_vault.search import SearchIndex
from search_reference import HashingEmbedder

START = datetime(2026, 1, 1, tzinfo=UTC)
TAGS = st.lists(st.sampled_from(("a", "b", "c")), unique=True).map(tuple)
KINDS = st.sampled_from(("fact", "goal", ""))
APP = UUID(int=7)
AUTHORS = st.sampled_from(("owner", str(APP)))
SOURCES = st.sampled_from(("", "markdown:notes/a.md", "markdown:notes/sub/b.md", "chatgpt:1", "x"))
WORDS = st.sampled_from(("1", 1, 1.0, True, "true", "x", 0.5))
LONG = st.just(f"{'long' * 40} 1") | st.just([*range(100), "x"])
METADATA = st.dictionaries(
    st.sampled_from("mn"), WORDS | st.lists(WORDS) | st.none() | st.just({"deep": 1}) | LONG
)
LABELS = st.dictionaries(st.sampled_from("uv"), st.sampled_from("12"))
SHARES = st.sampled_from((0.0, 0.25, 0.5, 1.0))
DAYS = st.integers(0, 5).map(lambda days: START + timedelta(days=days))


@st.composite
def _memories(draw: st.DrawFn) -> list[Memory]:
    return [
        Memory(
            id=str(UUID(int=number)),
            version=1,
            author=draw(AUTHORS),
            created=draw(DAYS),
            updated=START + timedelta(days=10, minutes=draw(st.integers(0, 99))),
            review=Review(),
            content="a memory",
            type=draw(KINDS),
            tags=draw(TAGS),
            labels=draw(LABELS),
            metadata=draw(METADATA),
            importance=draw(st.none() | SHARES),
            source=draw(SOURCES),
        )
        for number in range(draw(st.integers(0, 8)))
    ]


WANTED = st.fixed_dictionaries(
    {},
    optional={
        "tags": TAGS,
        "any_tags": TAGS,
        "types": st.lists(KINDS),
        "authors": st.lists(AUTHORS),
        "labels": LABELS,
        "metadata": st.dictionaries(
            st.sampled_from("mn"), WORDS | st.sampled_from((f"{'long' * 40} 1", "99", 1 << 70))
        ),
        "importance": st.none() | SHARES,
        "source": st.sampled_from(["notes", "notes/sub", "markdown:notes/a.md", "chatgpt", "x"]),
        "since": st.none() | DAYS,
        "until": st.none() | DAYS | DAYS.map(lambda day: day.replace(tzinfo=None)),
    },
)


@given(memories=_memories(), wanted=WANTED, limit=st.none() | st.integers(0, 9))
def test_a_list_has_what_a_search_may_answer(
    memories: list[Memory], wanted: dict[str, Any], limit: int | None
) -> None:
    """Where everything matches the question, both give the same; a list in order, up to a limit."""
    index = SearchIndex(HashingEmbedder())
    index.put(map(document, memories))
    search = search_of({**wanted, "limit": 50, "mode": "words"})
    by_id = {UUID(memory.id).bytes: memory for memory in memories}
    filters = search.filters(index, lambda keys: [by_id[key] for key in keys])
    hits = index.search("memory", filters=filters, limit=50, mode="words")
    listed = listing_of("list", wanted)(memories)
    assert {UUID(memory.id).bytes for memory in listed} == {hit.id for hit in hits}
    assert listed == sorted(listed, key=lambda memory: memory.updated, reverse=True)
    if limit is not None:
        assert listing_of("list", {**wanted, "limit": limit})(memories) == listed[:limit]


def _header(memory: Memory, *, sealed: bool) -> Header:
    share = None if sealed or memory.importance is None else memory.importance * IMPORTANCE_ONE
    return Header(
        account_id=bytes(16),
        memory_id=UUID(memory.id).bytes,
        version=1,
        key_number=1,
        author=OWNER if memory.author == "owner" else Author(APP.bytes),
        created=to_micros(memory.created),
        updated=to_micros(memory.updated),
        sealed=sealed,
        title="",
        importance=None if share is None else int(share),
        tags=frozenset() if sealed else frozenset(memory.tags),
    )


@given(memories=_memories(), wanted=WANTED)
def test_a_header_refuses_nothing_that_is_wanted(
    memories: list[Memory], wanted: dict[str, Any]
) -> None:
    """What is not opened, by what its header shows, would not have passed; sealed or not."""
    search = search_of(wanted)
    passes, glance = search.passes(), search.glance()
    for memory in memories:
        for sealed in (False, True):
            assert glance(_header(memory, sealed=sealed)) or not passes(memory)
