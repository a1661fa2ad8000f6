"""A sync reads and verifies what is new, and nothing that it verified before."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

from coffret_vault.log.tree import Frontier
from coffret_vault.log.verify import Verifier
from harness.network import Recorder

if TYPE_CHECKING:
    from harness.world import World


def test_a_sync_verifies_only_what_is_new(world: World) -> None:
    """On top of many entries one more costs one entry, one hash, and the page that brings it."""
    owner, network = world.owner(), Recorder()
    for number in range(20):
        owner.vault.remember(f"memory {number}")
    behind = world.device(owner, transport=network)
    size = behind.status().entries
    owner.vault.remember("one more")
    network.requests.clear()
    take, append_hash = Verifier.take, Frontier.append_hash
    with (
        patch.object(Verifier, "take", autospec=True, side_effect=take) as taken,
        patch.object(Frontier, "append_hash", autospec=True, side_effect=append_hash) as hashed,
    ):
        report = behind.sync()
    assert (report.entries, report.records) == (1, 1)
    assert taken.call_count == 1
    assert hashed.call_count == 1
    asked = [request.url.params["from"] for request in network.requests]
    assert asked == [str(size), str(size + 1)]
