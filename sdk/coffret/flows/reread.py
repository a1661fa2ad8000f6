"""The log as it is kept here, to read again from it what this device is to know. ADR 0028."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.errors import StoreAlteredError
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.log.tree import Frontier

if TYPE_CHECKING:
    from coffret.flows.state import VaultState
    from coffret_vault.formats.entry import Leaf
    from coffret_vault.log.verify import Position

_NOT_THE_LOG = "the log on this device was changed, not by this vault; nothing was done by it"
_ENTER_ANEW = "Log in on this device again, in another folder, and leave this one behind."


def kept_leaves(state: VaultState, position: Position) -> list[tuple[int, Leaf]]:
    """The entries up to where this device stands, with their indexes.

    They are those of the position, which is itself proved by the next head that verifies upon it.

    Raises:
        StoreAlteredError: they are others.
    """
    kept = [leaf for _, leaf in state.store.leaves()]
    covered, frontier = position.frontier.size, Frontier()
    for leaf in kept[:covered]:
        frontier.append(leaf)
    same = frontier.size == covered and frontier.serialize() == position.frontier.serialize()
    if not same or tuple(kept[covered:]) != position.tail:
        raise StoreAlteredError(_NOT_THE_LOG, hint=_ENTER_ANEW)
    return list(enumerate(map(parse_leaf, kept)))
