"""Pages that would be too large to take end earlier, and nothing is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.world import World


@pytest.mark.parametrize("most", [1, 2_000, 5_000])
def test_an_app_reads_all_of_large_memories(
    either: World, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However few fit into a page, an app reads every memory of its grant, and its own writings."""
    monkeypatch.setattr("coffret_server.data.apps.PAGE_BYTES", most)
    monkeypatch.setattr("coffret_server.data.apps._FEW", 2)
    owner, app = either.owner(), either.app()
    wanted = {owner.vault.remember(f"number {number}").content for number in range(7)}
    _, access = either.granted(owner, app)
    wanted.add(access.remember("by the app").content)
    access.refresh()
    assert sorted(memory.content for memory in access.memories()) == sorted(wanted)


def test_a_history_of_many_pages_is_whole(either: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few versions fit into a page, a history has them all, in their order."""
    monkeypatch.setattr("coffret_server.data.owner.PAGE_BYTES", 1)
    vault = either.owner().vault
    memory = vault.remember("version 1")
    for version in range(2, 20):
        vault.update(memory.id, content=f"version {version}")
    contents = [item.memory and item.memory.content for item in vault.history(memory.id)]
    assert contents == [f"version {version}" for version in range(1, 20)]
