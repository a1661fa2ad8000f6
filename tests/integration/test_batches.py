"""Many memories at once: the next batch is sealed while one is under way."""

from typing import Any
from unittest.mock import patch

import pytest

from coffret import Fields, Memory, NewMemory
from coffret.flows import append
from coffret.flows.batches import WRAP_BYTES, Sealing
from coffret_vault.errors import InputError
from harness.world import World


def new(*contents: str) -> list[NewMemory]:
    """Memories with these contents."""
    return [NewMemory(Fields(content=content)) for content in contents]


def test_what_others_write_while_a_batch_is_under_way_stays(world: World) -> None:
    """A batch that was sealed before another device wrote is put into the log after that."""
    owner = world.owner()
    other = world.device(owner)
    ahead = Sealing.ahead
    wrote: list[Memory] = []

    def meanwhile(sealing: Sealing) -> None:
        ahead(sealing)
        wrote.append(other.remember(f"other {len(wrote)}"))

    contents = [f"memory {number}" for number in range(7)]
    with patch("coffret.flows.batches.BATCH", 2), patch.object(Sealing, "ahead", meanwhile):
        owner.vault.remember_many(new(*contents))
    assert len(wrote) > 3
    other.sync()
    owner.vault.sync()
    expected = sorted([*contents, *(memory.content for memory in wrote)])
    for vault in (owner.vault, other, world.device(owner)):
        assert sorted(memory.content for memory in vault.list()) == expected


@pytest.mark.parametrize("bad", range(5))
def test_the_batches_before_a_bad_memory_are_kept(either: World, bad: int) -> None:
    """What cannot be a memory is refused by name; whole batches before its own are kept."""
    vault = either.owner().vault
    contents = ["a", "b", "c", "d", "e"]
    contents[bad] = ""
    with patch("coffret.flows.batches.BATCH", 2), pytest.raises(InputError, match="content"):
        vault.remember_many(new(*contents))
    assert sorted(memory.content for memory in vault.list()) == contents[: bad // 2 * 2]


def test_a_batch_has_room_for_the_keys_that_grants_are_given(world: World) -> None:
    """With more standing grants a batch has fewer memories: a server takes so many keys at once."""
    owner = world.owner()
    for name in ("One", "Two", "Three"):
        world.granted(owner, world.app(name=name), standing=True, approve_standing=True)
    taken: list[int] = []
    body = append.Append

    def counted(*args: Any, **named: Any) -> append.Append:
        made = body(*args, **named)
        taken.append(len(made.wraps))
        return made

    room = patch("coffret.flows.batches._BATCH_BYTES", 12 * WRAP_BYTES)
    with room, patch.object(append, "Append", counted):
        owner.vault.remember_many(new(*map(str, range(9))))
    assert sum(taken) == 27
    assert max(taken) <= 15
