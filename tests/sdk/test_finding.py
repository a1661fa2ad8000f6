"""The index of a vault: what was made of it is kept, whatever becomes of the search."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, patch

import pytest

from coffret.finding import Finder, Search
from coffret.flows.spoilt import current_memory
from coffret_vault.errors import InputError
from search_reference import HashingEmbedder

if TYPE_CHECKING:
    from coffret_vault.records.memory import Memory
    from harness.world import World

_EVERY = 3


def test_a_search_that_was_interrupted_goes_on(world: World) -> None:
    """What was indexed until then is saved, and only the rest is embedded by the next process."""
    owner = world.owner()
    for number in range(8):
        owner.vault.remember(f"memory {number}")
    state, path = owner.vault._state, owner.vault.folder / "another.index"
    first, second = HashingEmbedder(), HashingEmbedder()
    counts: list[int] = []

    def interrupt(_what: str, done: int, _of: int) -> None:
        counts.append(done)
        if done > 2 * _EVERY:
            raise KeyboardInterrupt

    with patch("coffret.keptindex._SAVED_TOGETHER", _EVERY):
        with pytest.raises(KeyboardInterrupt):
            Finder(state, path, lambda: first).find("memory", Search(), interrupt)
        assert counts == [0, 3, 6, 8]
        finder = Finder(state, path, lambda: second)
        found = finder.find("memory", Search(), lambda *_: None)
    assert len(found) == 8
    assert sum("memory " in text for text in second.texts) == 2


def test_a_search_that_takes_long_saves_on_its_way(world: World) -> None:
    """Few memories with much text are saved by the time that they took, not by their number."""
    owner = world.owner()
    for number in range(6):
        owner.vault.remember(f"memory {number}. " + "word " * 7_000)
    state, path = owner.vault._state, owner.vault.folder / "another.index"
    first, second = HashingEmbedder(), HashingEmbedder()

    def interrupt(_what: str, done: int, _of: int) -> None:
        if done > _EVERY:
            raise KeyboardInterrupt

    with patch("coffret.keptindex._SAVED_AFTER", 0.0), pytest.raises(KeyboardInterrupt):
        Finder(state, path, lambda: first).find("memory", Search(), interrupt)
    finder = Finder(state, path, lambda: second)
    assert len(finder.find("memory", Search(), lambda *_: None)) == 6
    assert sum("memory " in text for text in second.texts) < 6


def test_what_comes_after_a_saving_on_the_way_is_saved_as_well(world: World) -> None:
    """A search that saved while it embedded, and came to its end, has saved all of it."""
    owner = world.owner()
    for number in range(4):
        owner.vault.remember(f"memory {number}. " + "word " * 7_000)
    state, path = owner.vault._state, owner.vault.folder / "another.index"
    second = HashingEmbedder()
    with (
        patch("coffret.keptindex._SAVED_AFTER", 0.0),
        patch("coffret.keptindex._SAVING_SHARE", 1e9),
    ):
        Finder(state, path, HashingEmbedder).find("memory", Search(), lambda *_: None)
    Finder(state, path, lambda: second).find("memory", Search(), lambda *_: None)
    assert second.texts == ["memory"]


def test_an_index_that_was_interrupted_between_two_tables_is_let_go(world: World) -> None:
    """Ctrl-C while an index changes leaves none that has a memory in one half, nor saves such."""
    owner = world.owner()
    finder = Finder(owner.vault._state, owner.vault.folder / "another.index", HashingEmbedder)
    owner.vault.remember("one fig")
    finder.find("fig", Search(), lambda *_: None)
    owner.vault.remember("two figs")
    interrupt = patch("coffret_vault.search.tables.LexicalIndex.add", side_effect=KeyboardInterrupt)
    with interrupt, pytest.raises(KeyboardInterrupt):
        finder.find("fig", Search(), lambda *_: None)
    owner.vault.remember("three figs")
    found = finder.find("two", Search(mode="words"), lambda *_: None)
    assert [hit.memory.content for hit in found] == ["two figs"]


def test_an_index_of_another_version_is_made_again(world: World) -> None:
    """What a Coffret of before kept is no error: all is embedded anew, and saved as it is now."""
    owner = world.owner()
    path = owner.vault.folder / "another.index"
    owner.vault.remember("one fig", valid_until=datetime(2020, 1, 1, tzinfo=UTC))
    owner.vault.remember("two figs")
    state, again = owner.vault._state, HashingEmbedder()
    now = Search(valid_on=datetime.now(UTC))
    with patch("coffret_vault.search.snapshot._VERSION", (3, 1, 1)):
        Finder(state, path, HashingEmbedder).find("fig", Search(), lambda *_: None)
    found = Finder(state, path, lambda: again).find("fig", now, lambda *_: None)
    assert [hit.memory.content for hit in found] == ["two figs"]
    assert len(again.texts) == 3
    again.texts.clear()
    found = Finder(state, path, lambda: again).find("fig", now, lambda *_: None)
    assert ([hit.memory.content for hit in found], again.texts) == (["two figs"], ["fig"])


@pytest.mark.parametrize("question", ["", "  ", None, 7])
def test_what_cannot_be_asked_costs_no_embedding(world: World, question: str) -> None:
    """A blank question, or one that is no text, is refused before anything is indexed for it."""
    owner, embedder = world.owner(), HashingEmbedder()
    owner.vault.remember("figs")
    path = owner.vault.folder / "another.index"
    owner.vault._finder = Finder(owner.vault._state, path, lambda: embedder)
    with pytest.raises(InputError):
        owner.vault.search(question)
    with pytest.raises(InputError):
        owner.vault.search("figs", limit=0)
    assert not embedder.texts


def test_a_search_loads_its_model_where_no_thread_is_to_be_had(world: World) -> None:
    """A program that ends, or has as many threads as it may, still finds what it looks for."""
    owner, model = world.owner(), HashingEmbedder()
    model.load = lambda: None  # type: ignore[attr-defined]
    owner.vault.remember("figs")
    finder = Finder(owner.vault._state, owner.vault.folder / "another.index", lambda: model)
    pool = Mock()
    pool.submit.side_effect = RuntimeError
    with patch("coffret.keptindex.ThreadPoolExecutor", return_value=pool):
        assert len(finder.find("figs", Search(), lambda *_: None)) == 1
    assert pool.submit.called


def test_a_search_by_words_waits_for_no_meaning(world: World) -> None:
    """Where many memories are not embedded yet, words find the same as in the whole index."""
    owner = world.owner()
    for number in range(5):
        owner.vault.remember(f"memory {number} of a walk", tags=["odd"] if number % 2 else [])
    model = HashingEmbedder()
    finder = Finder(owner.vault._state, owner.vault.folder / "another.index", lambda: model)
    by_words = Search(mode="words", tags=frozenset({"odd"}))
    counts: list[tuple[int, int]] = []

    def found() -> list[object]:
        hits = finder.find("walks 3", by_words, lambda _, done, of: counts.append((done, of)))
        return [(hit.memory.id, hit.score, hit.lexical, hit.coverage) for hit in hits]

    with patch("coffret.keptindex._SOON", 3):
        quick = found()
        assert (len(quick), model.texts, counts[-1]) == (2, [], (5, 5))
        finder.find("walk", Search(), lambda *_: None)
        assert len(model.texts) > 5
        assert found() == quick
        owner.vault.remember("one more walk")
        found()
    assert any("one more" in text for text in model.texts)  # a few are embedded at once


def test_a_search_by_words_waits_for_no_long_memory(world: World) -> None:
    """One memory may take as long to embed as hundreds of others: words do not wait for it."""
    owner = world.owner()
    owner.vault.remember("short")
    model = HashingEmbedder()
    finder = Finder(owner.vault._state, owner.vault.folder / "another.index", lambda: model)
    finder.find("short", Search(), lambda *_: None)
    owner.vault.remember("a long walk. " + "word " * 20_000)
    model.texts.clear()
    hits = finder.find("walk", Search(mode="words"), lambda *_: None)
    assert (len(hits), model.texts) == (1, [])


def test_a_search_by_metadata_opens_its_hits_alone(world: World) -> None:
    """What the index lists is not opened to be asked; what is too much to list is, and is found."""
    owner = world.owner()
    for number in range(6):
        owner.vault.remember(f"walk {number}", metadata={"mood": "odd" if number % 2 else "even"})
    owner.vault.remember("walk long", metadata={"mood": ["odd", "x" * 200]})
    owner.vault.remember("walk other", metadata={"mood": "x" * 200})
    finder = Finder(owner.vault._state, owner.vault.folder / "another.index", HashingEmbedder)
    finder.find("walk", Search(), lambda *_: None)
    opened: list[str] = []

    def opening(*given: Any) -> Memory:
        memory = current_memory(*given)
        opened.append(memory.content)
        return memory

    with patch("coffret.finding.current_memory", opening):
        hits = finder.find("walk", Search(metadata={"mood": "odd"}), lambda *_: None)
    found = sorted(hit.memory.content for hit in hits)
    assert found == ["walk 1", "walk 3", "walk 5", "walk long"]
    assert sorted(opened) == sorted([*found, "walk long", "walk other"])
    long = finder.find("walk", Search(metadata={"mood": "x" * 200}), lambda *_: None)
    assert sorted(hit.memory.content for hit in long) == ["walk long", "walk other"]
