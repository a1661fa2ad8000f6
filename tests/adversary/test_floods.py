"""An app of the owner's own choosing that writes as fast and as much as it is let."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.flows import covering, sync
from coffret_server.append import RECORDS_LIMIT
from coffret_server.data import writing
from coffret_vault.errors import GrantRevokedError, QuotaError, TrustError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret import Access, Vault
    from harness.world import Owner, World

TAKEN, READ = writing.TAIL_LIMIT, sync._MOST_TAIL
MOST = 12
"""What the devices here take behind a head; the server takes half of it."""


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    """Bounds that are reached at once."""
    with (
        patch.object(sync, "_MOST_TAIL", MOST),
        patch.object(writing, "TAIL_LIMIT", MOST // 2),
    ):
        yield


def flood(access: Access) -> int:
    """Write until it is refused, or until no device would read it; how much was taken."""
    for count in range(MOST + 1):
        try:
            access.remember(f"spam {count}")
        except QuotaError:
            return count
    return MOST + 1


def flooded(world: World) -> tuple[Owner, str, Access, int]:
    """An owner with a memory, and an app with nothing but leave to create that floods the vault."""
    owner = world.owner()
    owner.vault.remember("mine")
    grant_id, access = world.granted(owner, world.app(), scopes={"create"})
    return owner, grant_id, access, flood(access)


def contents(vault: Vault) -> set[str]:
    """What a device shows."""
    return {memory.content for memory in vault.list()}


@pytest.mark.attack(61)
def test_a_flood_shuts_no_device_out(world: World) -> None:
    """The owner syncs, writes, enters on a new device and revokes, and then it is over."""
    owner, grant_id, access, taken = flooded(world)
    assert taken == MOST // 2
    fresh = world.device(owner)
    owner.vault.sync()
    owner.vault.remember("more")
    flood(access)
    fresh.sync()
    assert contents(fresh) == contents(owner.vault) == {"mine", "more"}
    assert len(fresh.pending()) == MOST
    fresh.revoke(grant_id)
    with pytest.raises(GrantRevokedError):
        access.remember("spam")
    owner.vault.sync()
    assert contents(world.device(owner)) == {"mine", "more"}


@pytest.mark.attack(61)
def test_a_flood_that_nobody_looks_at_ends(world: World) -> None:
    """Without a device of the owner's it goes no further, by however many apps."""
    owner, _, access, _ = flooded(world)
    _, other = world.granted(owner, world.app("Other"), scopes={"create"})
    assert flood(access) == MOST // 2
    assert flood(other) == flood(access) == 0
    owner.vault.sync()
    assert len(owner.vault.pending()) == MOST


@pytest.mark.control(61)
def test_a_flood_at_a_server_without_a_bound_shuts_all_out(world: World) -> None:
    """Control: nothing that the owner has left to do is taken, on no device, not to revoke."""
    with patch.object(writing, "_check_tail"):
        owner, grant_id, _, taken = flooded(world)
    assert taken == MOST + 1
    for act in (
        owner.vault.sync,
        lambda: owner.vault.remember("more"),
        lambda: owner.vault.revoke(grant_id),
        lambda: world.device(owner),
    ):
        with pytest.raises(TrustError, match="longer than the owner signed"):
            act()


def test_the_bounds_fit_together() -> None:
    """A device covers long before the server refuses, and the server long before a device does.

    What one call of an app writes fits between any two of them.
    """
    assert covering.COVERED_FROM + RECORDS_LIMIT < TAKEN
    assert TAKEN + RECORDS_LIMIT < READ // 5
