"""Many memories at once: the next batch is sealed while one is under way."""

from unittest.mock import patch

import pytest

from coffret import Fields, Memory, NewMemory
from coffret.flows.batches import Sealing
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
