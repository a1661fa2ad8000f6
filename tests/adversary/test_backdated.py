"""An app that says of a memory of its owner's that it is of another day."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.cli.proposed import proposal_lines
from harness.league import Pen

if TYPE_CHECKING:
    from coffret_vault.records.memory import Memory
    from harness.world import Owner, World

THEN = 86_400 * 1_000_000
"""A day in 1970."""


def _backdated(world: World, *, auto_accept: bool = False) -> tuple[Owner, Memory]:
    """A memory of which an app proposes other words, and that it was made on another day."""
    owner = world.owner()
    memory = owner.vault.remember("as it was")
    scopes = ["read", "update"]
    _, access = world.granted(owner, world.app(), scopes=scopes, auto_accept=auto_accept)
    access.refresh()
    known = access._shelf.one(memory.id)
    assert known.key is not None
    pen = Pen(access, known.key)
    number = known.header.key_number
    pen.put("with a word more", memory_id=memory.id, version=2, created=THEN, number=number)
    owner.vault.sync()
    return owner, memory


@pytest.mark.attack(39)
def test_a_day_that_nobody_is_shown_is_not_agreed_to(world: World) -> None:
    """What an owner accepts of an app has the day on which the memory was made."""
    owner, memory = _backdated(world)
    (item,) = owner.vault.pending()
    assert not any("1970" in line for line in proposal_lines(item, "Planner"))
    accepted = owner.vault.accept(item.memory_id, item.version)
    assert accepted is not None
    assert (accepted.content, accepted.created) == ("with a word more", memory.created)
    assert world.device(owner).get(memory.id).created == memory.created


@pytest.mark.attack(39)
def test_a_memory_of_another_day_is_not_accepted_unseen(world: World) -> None:
    """Where the owner chose that an app needs no review, this waits for one."""
    owner, memory = _backdated(world, auto_accept=True)
    assert [item.memory_id for item in owner.vault.pending()] == [memory.id]
    assert owner.vault.get(memory.id).content == "as it was"


@pytest.mark.control(39)
def test_a_device_that_compares_no_days_takes_the_apps(world: World) -> None:
    """Control: with nothing compared, the day is another one when it is accepted."""
    owner, memory = _backdated(world)
    with patch("coffret.flows.review.overtaken", return_value=False):
        accepted = owner.vault.accept(memory.id)
    assert accepted is not None
    assert accepted.created < memory.created
