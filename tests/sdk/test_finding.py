"""The index of a vault: what was made of it is kept, whatever becomes of the search."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.finding import Finder, Search
from search_reference import HashingEmbedder

if TYPE_CHECKING:
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

    with patch("coffret.finding._SAVED_TOGETHER", _EVERY):
        with pytest.raises(KeyboardInterrupt):
            Finder(state, path, lambda: first).find("memory", Search(), interrupt)
        assert counts == [3, 6, 8]
        finder = Finder(state, path, lambda: second)
        found = finder.find("memory", Search(), lambda *_: None)
    assert len(found) == 8
    assert sum("memory " in text for text in second.texts) == 2
