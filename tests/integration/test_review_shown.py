"""What an owner decides is about what they were shown, whatever waits by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from coffret_vault.errors import ConflictError, InputError, NotFoundError

if TYPE_CHECKING:
    from harness.world import World


def test_what_is_given_as_it_was_shown_is_taken_in_or_turned_down(either: World) -> None:
    """A proposal is accepted and rejected as the owner was shown it, a deletion as well."""
    owner, app = either.owner(), either.app()
    memory, gone = owner.vault.remember("original"), owner.vault.remember("goes")
    _, access = either.granted(owner, app)
    access.update(memory.id, content="proposed")
    access.forget(gone.id)
    access.remember("spam")
    owner.vault.sync()
    changed, deleted, spam = owner.vault.pending()
    with pytest.raises(InputError):
        owner.vault.accept(changed, 3)
    accepted = owner.vault.accept(changed)
    assert accepted is not None
    assert accepted.content == "proposed"
    assert owner.vault.accept(deleted, deleted.version) is None
    owner.vault.reject(spam)
    assert [item.content for item in owner.vault.list()] == ["proposed"]
    for decide in (owner.vault.accept, owner.vault.reject):
        with pytest.raises(NotFoundError):
            decide(changed)


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_a_decision_is_about_the_version_that_was_shown(either: World, decision: str) -> None:
    """Where something else waits by now, whoever decides as it was shown is asked to look again."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("original")
    _, access = either.granted(owner, app)
    access.update(memory.id, content="as agreed")
    owner.vault.sync()
    (shown,) = owner.vault.pending()
    either.device(owner).reject(memory.id)
    access.update(memory.id, content="something else")
    owner.vault.sync()  # another part of the program does
    decide = getattr(owner.vault, decision)
    with pytest.raises(ConflictError, match="look at it again"):
        decide(shown)
    (waiting,) = owner.vault.pending()
    assert waiting.proposed is not None
    assert waiting.proposed.content == "something else"
    decide(waiting)
    assert owner.vault.pending() == []


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_a_decision_is_about_the_words_that_were_shown(either: World, decision: str) -> None:
    """What was shown with other words than it has, or with none, is to be looked at first."""
    owner, app = either.owner(), either.app()
    _, access = either.granted(owner, app)
    access.remember("by the app")
    owner.vault.sync()
    (shown,) = owner.vault.pending()
    assert shown.proposed is not None
    other_words = msgspec.structs.replace(shown.proposed, content="other words")
    for words in (other_words, None):
        with pytest.raises(ConflictError, match="look at it again"):
            getattr(owner.vault, decision)(msgspec.structs.replace(shown, proposed=words))
    with pytest.raises(ConflictError, match="look at it again"):
        getattr(owner.vault, decision)(msgspec.structs.replace(shown, deletion=True))
    assert owner.vault.pending() == [shown]
    getattr(owner.vault, decision)(shown)


@pytest.mark.parametrize("what", ["update", "forget"])
def test_a_proposal_is_accepted_beside_what_was_shown_with_it(either: World, what: str) -> None:
    """It takes the place of no version that was written since, and may be rejected beside any."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("original")
    _, access = either.granted(owner, app)
    access.update(memory.id, content="first")
    if what == "update":
        access.update(memory.id, content="second")
    else:
        access.forget(memory.id)
    owner.vault.sync()
    first, second = owner.vault.pending()
    owner.vault.accept(first)
    with pytest.raises(ConflictError, match="look at it again"):
        owner.vault.accept(second)
    assert owner.vault.get(memory.id).content == "first"
    owner.vault.reject(second)
    assert owner.vault.pending() == []


@pytest.mark.parametrize("as_shown", [True, False])
def test_what_became_current_meanwhile_is_not_replaced(either: World, *, as_shown: bool) -> None:
    """Nor where another device accepted an earlier version, which is read only as this is sent."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("original")
    _, access = either.granted(owner, app)
    access.update(memory.id, content="first")
    access.update(memory.id, content="second")
    other = either.device(owner)
    _, second = other.pending()
    owner.vault.sync()
    owner.vault.accept(memory.id, 2)
    with pytest.raises(ConflictError, match="look at it again"):
        other.accept(*([second] if as_shown else [memory.id, 3]))
    assert other.get(memory.id).content == "first"
    other.accept(memory.id)
    assert other.get(memory.id).content == "second"
