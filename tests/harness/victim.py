"""A device whose server is hostile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.network import Evil

if TYPE_CHECKING:
    from coffret_vault.errors import CoffretError
    from harness.world import World


class Victim:
    """A device whose server is hostile, beside an honest device of the same owner."""

    def __init__(self, world: World) -> None:
        """Make the owner; the victim has seen a memory, and another waits to be read."""
        self.world = world
        self.owner = world.owner()
        self.evil = Evil()
        self.seen = self.owner.vault.remember("seen by both", tags=["t"])
        self.vault = world.device(self.owner, transport=self.evil)

    def dump(self) -> list[str]:
        """Every row that the victim keeps, as SQL."""
        return list(self.vault._state.store._database.iterdump())

    def refuses(self, error: type[CoffretError], match: str | None = None) -> None:
        """A sync raises this error, keeps nothing of it, and works again with an honest server."""
        before = self.dump()
        with pytest.raises(error, match=match) as raised:
            self.vault.sync()
        assert type(raised.value) is error
        assert self.dump() == before
        self.evil.rewrite.clear()
        self.vault.sync()
        assert {memory.id for memory in self.vault.list()} == {
            memory.id for memory in self.owner.vault.list()
        }
