"""A server that shows a memory's versions twice, or in another order than they were written in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from coffret.flows import history as flows
from coffret_vault.errors import TrustError
from harness.network import Evil

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.world import World

CONTENTS = ["one", "two", "three"]
ORDERS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "one twice": lambda page: [page[0], *page],
    "the last twice": lambda page: [*page, page[-1]],
    "the newest first": lambda page: page[::-1],
    "two exchanged": lambda page: [page[1], page[0], page[2]],
}


def _shown(world: World, order: str) -> list[str]:
    """What a history says that was written."""
    evil = Evil()
    vault = world.owner(transport=evil).vault
    memory = vault.remember(CONTENTS[0])
    for content in CONTENTS[1:]:
        vault.update(memory.id, content=content)
    evil.rewrite[f"/memory-blobs/{memory.id}/versions"] = ORDERS[order]
    return [step.memory.content for step in vault.history(memory.id) if step.memory]


@pytest.mark.attack(16)
@pytest.mark.parametrize("order", ORDERS)
def test_versions_are_shown_once_and_in_their_order(world: World, order: str) -> None:
    """Each version is the log's; that they follow one another is the log's word, too."""
    with pytest.raises(TrustError):
        _shown(world, order)


@pytest.mark.control(16)
def test_versions_of_which_each_is_looked_at_alone_are_shown_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: all of them verify, and the first is said to have come after the second."""
    monkeypatch.setattr(flows, "pairwise", lambda _: ())
    assert _shown(world, "two exchanged") == ["two", "one", "three"]
