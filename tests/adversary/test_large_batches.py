"""What is written again of memories that are large: in requests that the server takes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.flows.freshness import is_stale
from coffret_server import gate
from coffret_vault.errors import TooLargeError
from harness.world import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret import Vault
    from harness.world import Owner, World

SMALLER = 128
"""Requests, batches and memories are all smaller by this: 36 of them are more than one takes."""
LARGE = "x" * ((1 << 20) // SMALLER)
MANY = 36

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def small() -> Iterator[None]:
    """The server takes less in one request, and the device puts less into one."""
    with (
        patch.object(gate, "DATA_LIMIT", gate.DATA_LIMIT // SMALLER),
        patch("coffret.flows.batches._BATCH_BYTES", (8 << 20) // SMALLER),
    ):
        yield


def full(world: World) -> Owner:
    """An owner of more than one request takes."""
    owner = world.owner()
    for number in range(MANY):
        owner.vault.remember(LARGE, title=f"{number}", tags=["t"])
    return owner


def stale(vault: Vault) -> int:
    """How many memories have a key that somebody may know who is to read no more."""
    return sum(is_stale(vault._state, memory) for _, memory in vault._state.store.states())


def revoked(world: World) -> Owner:
    """The same owner, after an app lost its grant of everything."""
    owner = full(world)
    grant_id, _ = world.granted(owner, world.app(), tags=["t"], scopes={"read"})
    owner.vault.revoke(grant_id)
    assert stale(owner.vault) == MANY
    return owner


def rotate(world: World) -> int:
    """Rotate all, and give how many are stale after that."""
    owner = revoked(world)
    seen: list[int] = []
    assert owner.vault.rotate(progress=lambda _, done, __: seen.append(done)) == MANY
    assert seen[-1] == MANY
    assert len(seen) > 1
    return stale(owner.vault)


def approve(world: World) -> int:
    """Let another app write to all of it."""
    owner = revoked(world)
    world.granted(owner, world.app("Other"), tags=["t"], scopes={"read", "update"})
    return stale(owner.vault)


def revoke(world: World) -> int:
    """Revoke what one app was granted while another may write."""
    owner = full(world)
    grant_id, _ = world.granted(owner, world.app(), tags=["t"], scopes={"read"})
    world.granted(owner, world.app("Other"), tags=["t"], scopes={"update"})
    owner.vault.revoke(grant_id)
    return stale(owner.vault)


def narrow(world: World) -> int:
    """Take everything out of a grant; give what is left of it."""
    owner = full(world)
    grant_id, access = world.granted(owner, world.app(), tags=["t"], scopes={"read"})
    ids = [memory.id for memory in owner.vault.list()]
    assert owner.vault.narrow(grant_id, ids) == MANY
    return sum(1 for _ in access.memories())


def filled_by_an_app(world: World) -> int:
    """An app writes much that is accepted unseen; then another app's grant is over."""
    owner, app = world.owner(), world.app()
    request = ask(app, owner, scopes={"read", "create", "update"})
    owner.vault.requests()
    owner.vault.approve(request, words=app.words, auto_accept=True)
    access = app.access(request)
    for number in range(MANY):
        access.remember(LARGE, title=f"{number}")
    owner.vault.sync()
    grant_id, _ = world.granted(owner, world.app("Other"), scopes={"read"})
    owner.vault.revoke(grant_id)
    owner.vault.sync()
    return stale(owner.vault)


WAYS = [rotate, approve, revoke, narrow, filled_by_an_app]


@pytest.mark.attack(61)
@pytest.mark.parametrize("way", WAYS)
def test_no_fresh_key_fails_for_the_size_of_memories(
    world: World, way: Callable[[World], int]
) -> None:
    """However large what is written again, it is written again, and no stale key is left."""
    assert way(world) == 0


@pytest.mark.control(61)
@pytest.mark.parametrize("way", WAYS)
def test_batches_that_only_count_are_refused(world: World, way: Callable[[World], int]) -> None:
    """Control: where only the number of memories makes a batch, the server takes it never."""
    with (
        patch("coffret.flows.rekeying.rewritten_size", lambda _: lambda _: 0),
        pytest.raises(TooLargeError),
    ):
        way(world)
