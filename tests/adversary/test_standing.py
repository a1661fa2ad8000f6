"""What a standing grant is given later: what its owner changes, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from harness.world import ask

if TYPE_CHECKING:
    from coffret import Access
    from harness.world import Owner, World

OLD, NEW = "written long before", "and changed since"


def granted_the_future(world: World, owner: Owner) -> Access:
    """What an app may read that was granted whatever is changed from now on, and nothing else."""
    world.clock.forward(seconds=1)
    app = world.app("News", "https://news.example")
    since = datetime.fromtimestamp(world.clock.now() / 1e6, UTC)
    request_id = ask(app, owner, scopes=["read"], since=since, standing=True)
    (asked,) = owner.vault.requests()
    assert asked.matching == ()
    owner.vault.approve(request_id, standing=True, words=app.words)
    return app.access(request_id)


def contents(access: Access) -> set[str]:
    """What an app reads."""
    return {memory.content for memory in access.memories()}


@pytest.mark.attack(37)
@pytest.mark.parametrize("how", ["rotate", "revoke", "narrow", "end"])
def test_a_fresh_key_is_no_change_that_a_standing_grant_waits_for(world: World, how: str) -> None:
    """What is written again for its key alone joins no grant to what is changed since some day."""
    owner = world.owner()
    memory = owner.vault.remember(OLD)
    ending, _ = world.granted(owner, world.app("A"), scopes=["read"], duration=timedelta(hours=2))
    if how == "revoke":  # what others may write to gets its fresh key at once
        world.granted(owner, world.app("B", "https://b.example"), scopes=["read", "update"])
    news = granted_the_future(world, owner)
    if how == "narrow":
        owner.vault.narrow(ending, [memory.id])
    elif how == "end":
        world.clock.forward(hours=3)
    else:
        owner.vault.revoke(ending)
    if how in {"rotate", "end"}:
        assert owner.vault.rotate() == 1
    again = owner.vault.get(memory.id)
    assert (again.version, again.updated) == (2, memory.updated)
    assert contents(news) == set()
    owner.vault.update(memory.id, content=NEW)
    assert contents(news) == {NEW}
    assert owner.vault.get(memory.id).updated > memory.updated


def test_a_memory_that_was_given_a_fresh_key_after_an_end_is_not_stale(world: World) -> None:
    """When its key was made is what its entry says, however long ago it was changed."""
    owner = world.owner()
    owner.vault.remember(OLD)
    world.granted(owner, world.app(), scopes=["read"], duration=timedelta(hours=2))
    world.clock.forward(hours=3)
    assert (owner.vault.rotate(), owner.vault.rotate()) == (1, 0)
