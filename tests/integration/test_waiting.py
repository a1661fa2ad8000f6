"""What an owner said while the server is away can be asked for, beside what stands in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.errors import InputError, LockedError, NetworkError
from integration.test_drafts import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret import Memory
    from harness.world import Owner, World
    from integration.losing import Refusing

pytestmark = pytest.mark.usefixtures("one_try")


@pytest.fixture
def owner(world: World, network: Refusing) -> Owner:
    """An owner behind it, with one memory, to whom it is away."""
    made: Owner = world.owner(transport=network)
    made.vault.remember("stands")
    network.left = 0
    return made


def _words(memories: Sequence[Memory]) -> list[str]:
    return [memory.content for memory in memories]


def test_what_waits_is_had_by_itself_and_in_no_list(owner: Owner, network: Refusing) -> None:
    """Most lately said first, the one that was sent and those behind it, until they are written."""
    assert owner.vault.waiting() == []
    say(owner.vault, "one", "two")
    assert _words(owner.vault.waiting()) == ["two", "one"]
    assert _words(owner.vault.list()) == ["stands"]
    assert _words([hit.memory for hit in owner.vault.search("one two", mode="words")]) == []
    network.left = -1
    owner.vault.sync()
    assert owner.vault.waiting() == []
    assert _words(owner.vault.list()) == ["two", "one", "stands"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"tags": ["trip"]}, ["two"]),
        ({"tags": ["other"]}, []),
        ({"limit": 1}, ["two"]),
    ],
)
def test_it_is_narrowed_as_a_list_is(
    owner: Owner, wanted: dict[str, Any], found: list[str]
) -> None:
    """By what is said of it, and to as many as are wanted."""
    say(owner.vault, "one")
    say(owner.vault, "two", tags=["trip"])
    assert _words(owner.vault.waiting(**wanted)) == found
    with pytest.raises(InputError):
        owner.vault.waiting(importance=2)
    with pytest.raises(TypeError, match="waiting"):
        owner.vault.waiting(nothing=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("question", "wanted", "found"),
    [
        ("walked over a bridge", {}, ["two bridges", "a walk"]),
        ("bridge", {}, ["two bridges"]),
        ("bridge", {"tags": ["trip"]}, []),
        ("walk", {"tags": ["trip"], "mode": "words"}, ["a walk"]),
        ("two bridges, a walk", {"limit": 1}, ["two bridges"]),
        ("bridge walk", {"min_similarity": 0.1}, []),
        ("bridge", {"min_similarity": 0.99}, ["two bridges"]),
        ("bridge", {"mode": "semantic"}, []),
        ("stands", {}, []),
    ],
)
def test_what_waits_is_searched_by_its_words(
    owner: Owner, question: str, wanted: dict[str, Any], found: list[str]
) -> None:
    """By itself, and as a search is narrowed; what cannot be looked at so is not said to fit."""
    say(owner.vault, "two bridges")
    say(owner.vault, "a walk", tags=["trip"])
    hits = owner.vault.search_waiting(question, **wanted)
    assert sorted(_words([hit.memory for hit in hits])) == sorted(found)
    assert {hit.why for hit in hits} <= {("words",)}
    assert {hit.similarity for hit in hits} <= {None}


def test_no_index_that_is_kept_has_what_waits(owner: Owner, network: Refusing) -> None:
    """It is looked through in memory; what is saved of an index is of memories in the log."""
    say(owner.vault, "a bridge")
    owner.vault.search("bridge")
    assert len(owner.vault.search_waiting("bridge")) == 1
    index = owner.vault._finder.ready(lambda *_: None)
    assert len(index) == 1
    network.left = -1
    owner.vault.sync()
    assert owner.vault.search_waiting("bridge") == []
    assert _words([hit.memory for hit in owner.vault.search("bridge", limit=1)]) == ["a bridge"]
    with pytest.raises(InputError):
        owner.vault.search_waiting(" ")


def test_a_change_of_what_stands_is_no_new_memory(owner: Owner) -> None:
    """It waits too, and is shown as what it would change, not as a memory beside it."""
    with pytest.raises(NetworkError):
        owner.vault.update(owner.vault.list()[0].id, content="changed")
    assert owner.vault.status().unsent == 1
    assert owner.vault.waiting() == []


def test_a_locked_vault_says_nothing_of_it(owner: Owner) -> None:
    """Its words are sealed, and open to nobody then."""
    say(owner.vault, "one")
    owner.vault.lock()
    with pytest.raises(LockedError):
        owner.vault.waiting()
    with pytest.raises(LockedError):
        owner.vault.search_waiting("one")
