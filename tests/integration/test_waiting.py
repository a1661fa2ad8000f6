"""What an owner said while the server is away can be asked for, beside what stands in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.errors import InputError, LockedError, NetworkError
from integration.losing import Refusing
from integration.test_drafts import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret import Memory
    from harness.world import Owner, World

pytestmark = pytest.mark.usefixtures("one_try")


@pytest.fixture
def network() -> Refusing:
    """A network that can go away."""
    return Refusing()


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
