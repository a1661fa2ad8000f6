"""The numbers of keys in a server's list of what a grant holds, beside wraps that are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from adversary.test_what_grants_hold import AFTER, BEFORE, Liar, contents, liar
from coffret_vault.errors import ConflictError, OpenError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["liar"]


def _later(items: list[Any]) -> None:
    for item in items:
        item[1] += 7


@pytest.mark.attack(38)
def test_a_number_that_is_made_up_takes_no_memory_from_a_grant(liar: Liar) -> None:
    """Nobody is given the next key by another number: what is known to be held stays so."""
    grant_id, access = liar.grant(liar.world.app("A"), scopes=["read"])
    liar.list_for(grant_id, _later)
    liar.evil.rewrite.clear()
    liar.device.revoke(liar.grant(liar.other_app(), scopes=["read"])[0])
    liar.device.update(liar.memory, content=AFTER)
    assert AFTER in contents(access)


@pytest.mark.attack(38)
@pytest.mark.parametrize("shown", [lambda _: None, list.clear])
def test_what_was_narrowed_elsewhere_is_not_counted(
    liar: Liar, shown: Callable[[list[Any]], None]
) -> None:
    """A device is told by the log that a grant's key of a memory is no longer the one in use."""
    spare = liar.device.remember("spare")
    chosen = [liar.memory, spare.id]
    grant_id, access = liar.grant(liar.world.app("A"), scopes=["read"], memories=chosen)
    liar.device.sync()
    assert liar.device.grant(grant_id).memories == 2
    liar.owner.vault.sync()
    assert liar.owner.vault.narrow(grant_id, remove=[liar.memory]) == 1
    liar.list_for(grant_id, shown)
    assert liar.device.grant(grant_id).memories == 1
    assert BEFORE not in contents(access)


@pytest.mark.attack(38, 55)
def test_memories_that_a_hidden_grant_names_have_fresh_keys(liar: Liar) -> None:
    """Another device approved it, for memories by their ids, and the server lists none."""
    spare = liar.device.remember("spare")
    liar.owner.vault.sync()
    gone, _ = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"])
    scopes = ["read", "update"]
    stays, _ = liar.world.granted(
        liar.owner, liar.other_app(), scopes=scopes, memories=[liar.memory]
    )
    liar.list_for(stays, list.clear)
    liar.device.revoke(gone)
    versions = [liar.device.get(item).version for item in (liar.memory, spare.id)]
    assert versions == [2, 1]


def test_what_does_not_open_counts_as_covered(liar: Liar) -> None:
    """It cannot be told what a grant by tags covers then: it is named, and not passed over."""
    grant_id, _ = liar.world.granted(liar.owner, liar.world.app("A"), scopes=["read"], tags=["t"])
    liar.device.sync()
    liar.device.revoke(grant_id)
    with (
        patch("coffret.flows.reach.open_record", side_effect=OpenError),
        patch("coffret.flows.memories.open_record", side_effect=OpenError),
        pytest.raises(ConflictError, match=liar.memory),
    ):
        liar.device.rotate(grant_id)
