"""A device's clock was ahead when it wrote: a grant that ends later has ended all the same."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret_vault.errors import NetworkError
from harness.holding import AFTER, BEFORE, Liar
from harness.network import Losing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.world import Clock, World

AHEAD, HOURS = timedelta(days=10), timedelta(hours=2)


@pytest.fixture
def liar(world: World) -> Liar:
    """A server that keeps all, and an owner's two devices."""
    return Liar(world)


@pytest.fixture
def moved(server_clock: Clock) -> Iterator[Clock]:
    """The server's clock, moved back afterwards."""
    yield server_clock
    server_clock.offset = timedelta()


def later(liar: Liar, memory_id: str) -> None:
    """The grant ends, and the owner's devices hear of all; then the memory is written."""
    liar.world.clock.forward(hours=3)
    liar.device.sync()
    liar.device.update(memory_id, content=AFTER)


@pytest.mark.attack(38, 55)
def test_what_was_written_ahead_and_shared_since_gets_a_fresh_key(liar: Liar) -> None:
    """An app that was given a key after it was made has not had its end before that."""
    liar.world.clock.offset = AHEAD
    memory_id = liar.owner.vault.remember(BEFORE).id
    liar.world.clock.offset = timedelta()
    _, a = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"], duration=HOURS)
    a.refresh()
    kept = a._shelf.one(memory_id).key
    later(liar, memory_id)
    assert liar.opened(kept) == {BEFORE}


@pytest.mark.attack(38, 55)
def test_what_was_made_ahead_and_written_since_gets_a_fresh_key(liar: Liar) -> None:
    """A memory that says it was made later than now is written as of now."""
    liar.world.clock.offset = AHEAD
    memory_id = liar.owner.vault.remember("made ahead").id
    liar.world.clock.offset = timedelta()
    _, a = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"], duration=HOURS)
    liar.owner.vault.update(memory_id, content=BEFORE)
    a.refresh()
    kept = a._shelf.one(memory_id).key
    later(liar, memory_id)
    assert AFTER not in liar.opened(kept)


@pytest.mark.attack(38, 55)
@pytest.mark.parametrize("sealed", [False, True])
def test_what_was_said_ahead_and_sent_later_gets_a_fresh_key(liar: Liar, sealed: bool) -> None:  # noqa: FBT001 - a parameter
    """Words that waited are given to a standing grant as of when they go out, not as of a clock."""
    network = Losing()
    device = liar.world.device(liar.owner, transport=network)
    _, a = liar.world.granted(
        liar.owner,
        liar.world.app("A"),
        scopes=["read"],
        duration=HOURS,
        standing=True,
        approve_standing=True,
    )
    device.sync()
    network.left = 0
    with patch("coffret.transport._TRIES", 1):
        for words in ("the first", "waited"):
            liar.world.clock.offset += AHEAD
            with pytest.raises(NetworkError):
                device.remember(words)
    liar.world.clock.offset = timedelta()
    network.left = -1
    if sealed:
        liar.owner.vault.set_settings(sealed=True)
    device.sync()
    a.refresh()
    (memory_id,) = [memory.id for memory in a.memories() if memory.content == "waited"]
    kept = a._shelf.one(memory_id).key
    later(liar, memory_id)
    assert liar.opened(kept) == {"waited"}


@pytest.mark.attack(38, 55)
def test_what_was_written_ahead_is_accepted_under_a_fresh_key(liar: Liar, moved: Clock) -> None:
    """A grant that was over by the clock a key was made by is not given that key afterwards."""
    _, b = liar.world.granted(liar.owner, liar.other_app(), scopes=["read", "update"])
    _, a = liar.world.granted(
        liar.owner,
        liar.world.app("A"),
        scopes=["read"],
        duration=HOURS,
        standing=True,
        approve_standing=True,
        tags=["shared"],
    )
    liar.world.clock.offset = AHEAD
    liar.owner.vault.update(liar.memory, content="alone")
    liar.world.clock.offset = timedelta()
    b.update(liar.memory, content=BEFORE, tags=["shared"])
    liar.owner.vault.sync()
    liar.owner.vault.accept(liar.memory)
    a.refresh()
    kept = a._shelf.one(liar.memory).key
    moved.forward(hours=3)
    liar.world.clock.forward(hours=3)
    liar.device.sync()
    b.refresh()
    b.update(liar.memory, content=AFTER)
    liar.device.sync()
    assert AFTER not in liar.opened(kept)
