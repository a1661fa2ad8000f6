"""Clocks that jump, on the device and at the server: proofs still hold, and nothing is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from coffret_vault.errors import ClockError, CoffretError
from harness.world import Clock, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret import Vault
    from harness.world import Owner, World

YEAR = timedelta(days=365)
JUMPS = (YEAR, -YEAR, timedelta(0), timedelta(hours=-2), timedelta(minutes=2), -2 * YEAR)


@pytest.fixture
def moved(server_clock: Clock) -> Iterator[Clock]:
    """The server's clock, moved back afterwards."""
    yield server_clock
    server_clock.offset = timedelta()


def everything(vault: Vault, name: str) -> None:
    """Write, change, forget and read."""
    memory = vault.remember(f"{name} new")
    assert vault.update(memory.id, content=f"{name} changed").version == 2
    gone = vault.remember(f"{name} gone")
    vault.forget(gone.id)
    vault.sync()
    assert [step.version for step in vault.history(memory.id)] == [1, 2]


def same(world: World, owner: Owner, names: list[str]) -> None:
    """A new device, its clock right, has all that was written, and nothing else."""
    expected = {f"{name} changed" for name in names}
    world.clock.offset = timedelta()
    fresh = world.device(owner)
    assert {memory.content for memory in fresh.list()} == expected
    assert {memory.content for memory in owner.vault.list()} == expected
    assert fresh.status().head == owner.vault.status().head


def test_a_device_whose_clock_jumps(world: World) -> None:
    """Whatever its clock says, a device writes and is understood: it is told the server's time."""
    owner = world.owner()
    names = []
    for number, jump in enumerate(JUMPS):
        world.clock.offset = jump
        names.append(str(number))
        everything(owner.vault, names[-1])
    same(world, owner, names)


def test_a_device_that_logs_in_with_a_wrong_clock(world: World) -> None:
    """A login and a first sync work with a clock that is a year off, either way."""
    owner = world.owner()
    everything(owner.vault, "one")
    for jump in (YEAR, -YEAR):
        world.clock.offset = jump
        other = world.device(owner)
        assert [memory.content for memory in other.list()] == ["one changed"]
    same(world, owner, ["one"])


def test_a_server_whose_clock_jumps_ahead_and_back(world: World, moved: Clock) -> None:
    """Sessions end when its time says so and the device logs in anew; what was written stays."""
    owner = world.owner()
    names = []
    for number, jump in enumerate(JUMPS):
        moved.offset = jump
        names.append(str(number))
        everything(owner.vault, names[-1])
    moved.offset = timedelta()
    same(world, owner, names)


def test_a_grant_ends_by_the_server_s_clock(world: World, moved: Clock) -> None:
    """Neither an app's clock nor its owner's makes a grant last a day longer."""
    owner, app = world.owner(), world.app()
    owner.vault.remember("shared")
    request_id = ask(app, owner)
    owner.vault.requests()
    owner.vault.approve(request_id, words=app.words)
    access = app.access(request_id)
    world.clock.offset = -YEAR
    assert [memory.content for memory in access.memories()] == ["shared"]
    moved.offset = timedelta(days=31)
    for jump in (timedelta(0), -YEAR, timedelta(days=31)):
        world.clock.offset = jump
        with pytest.raises(CoffretError) as refused:
            access.memories()
        assert refused.value.code == "grant-expired"
    owner.vault.sync()
    assert [memory.content for memory in owner.vault.list()] == ["shared"]


def test_a_clock_that_is_ahead_is_named(world: World) -> None:
    """What is refused because a clock is an hour ahead says so, and works when that is mended."""
    owner, app = world.owner(), world.app()

    def ahead(call: Callable[[], object]) -> None:
        world.clock.offset = timedelta(hours=1)
        with pytest.raises(ClockError):
            call()
        world.clock.offset = timedelta()

    ahead(lambda: ask(app, owner, scopes=["read", "create"]))
    request_id = ask(app, owner, scopes=["read", "create"])
    owner.vault.remember("shared")
    owner.vault.requests()
    ahead(lambda: owner.vault.approve(request_id, words=app.words))
    owner.vault.approve(request_id, words=app.words)
    access = app.access(request_id)
    ahead(lambda: access.remember("of an hour later"))
    access.remember("of now")
    owner.vault.sync()
    assert [item.proposed and item.proposed.content for item in owner.vault.pending()] == ["of now"]


def test_a_device_whose_clock_is_behind_writes_past_a_grants_end(
    world: World, moved: Clock
) -> None:
    """A standing grant that is over for the server takes no key, and stops no memory."""
    owner, app = world.owner(), world.app()
    request_id = ask(app, owner, tags=["t"], standing=True)
    owner.vault.requests()
    owner.vault.approve(request_id, words=app.words, standing=True)
    moved.offset, world.clock.offset = timedelta(days=31), timedelta(days=1)
    first = owner.vault.remember("late", tags=["t"])
    owner.vault.update(first.id, content="later")
    assert [memory.content for memory in world.device(owner).list()] == ["later"]
