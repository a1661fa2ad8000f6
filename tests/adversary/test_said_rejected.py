"""A server that tells an app that its owner rejected what the owner never looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret.flows import access as access_flows
from coffret_vault.errors import TrustError
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.formats.layout import parse_id
from harness.network import Evil
from vectors.verifier.tree import many_proof

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Memory
    from harness.world import World

    Page = list[Any]
    Lie = Callable[["Asked", Page, Page], None]


class Asked:
    """An app with two writings, one of which its owner rejected, at a hostile server."""

    def __init__(self, world: World) -> None:
        """One waits for the owner; the log goes on behind the owner's no."""
        self.evil, self.owner = Evil(), world.owner()
        app = world.app(transport=self.evil)
        grant_id, self.access = world.granted(self.owner, app, scopes={"read", "create"})
        self.path = f"/grants/{grant_id}/records"
        self.turned_down = self.access.remember("unwanted").id
        self.waiting = self.access.remember("waits").id
        vault = self.owner.vault
        vault.sync()
        vault.reject(self.turned_down)
        vault.remember("a head over all of it")
        self.leaves = [leaf for _, leaf in vault._state.store.leaves()]

    def shows(self, lie: Lie) -> None:
        """From now on the server shows what waits as rejected, as the lie has it."""

        def change(page: Page) -> None:
            waits = next(item for item in page[1] if item[4] == "pending")
            no = next(item for item in page[1] if item[4] == "rejected")
            waits[:] = [waits[6], b"", waits[2], b"", "rejected", *waits[5:]]
            lie(self, waits, no)
            indexes = {item[5] for item in page[1] if item[4] != "pending"}
            page[4] = many_proof(indexes, self.leaves)

        self.evil.rewrite[self.path] = change

    def read(self) -> dict[str, Memory]:
        """What the app is shown."""
        return {memory.id: memory for memory in self.access.memories()}


def _with_its_own_entry(_asked: Asked, _waits: Page, _no: Page) -> None:
    """What the app wrote is in the log, and nothing is said of it there."""


def _with_another_no(_asked: Asked, waits: Page, no: Page) -> None:
    """The owner's no to something else."""
    waits[5:] = no[5:]


def _with_a_no_of_nobody(_asked: Asked, waits: Page, no: Page) -> None:
    """An entry that is not in the log: the no to something else, about this."""
    waits[5:] = [no[5], no[6].replace(no[6][-60:-50], b"0123456789")]


LIES: dict[str, Lie] = {
    "with its own entry": _with_its_own_entry,
    "with another no": _with_another_no,
    "with a no of nobody": _with_a_no_of_nobody,
}


@pytest.mark.attack(35, 60)
@pytest.mark.parametrize("lie", LIES)
def test_an_app_is_told_of_no_rejection_that_is_not_the_owner_s(world: World, lie: str) -> None:
    """Only the owner's entry, proven under the owner's head, says that something was rejected."""
    asked = Asked(world)
    asked.shows(LIES[lie])
    with pytest.raises(TrustError):
        asked.read()
    asked.evil.rewrite.clear()
    seen = asked.read()
    assert seen[asked.turned_down].review.status == "rejected"
    assert seen[asked.waiting].review.status == "pending_review"


@pytest.mark.attack(35)
def test_what_another_app_wrote_is_not_shown_as_rejected_here(world: World) -> None:
    """The owner's no to what this app did not write is none of its own."""
    asked = Asked(world)
    stranger = world.app("Stranger")
    _, access = world.granted(asked.owner, stranger, scopes={"create"})
    other = access.remember("by somebody else").id
    asked.owner.vault.sync()
    asked.owner.vault.reject(other)
    asked.owner.vault.remember("a head over that")
    asked.leaves = [leaf for _, leaf in asked.owner.vault._state.store.leaves()]
    key = parse_id(other)
    put, no = (at for at, leaf in enumerate(asked.leaves) if parse_leaf(leaf).entry.subject == key)

    def theirs(_: Asked, waits: Page, __: Page) -> None:
        waits[0], waits[5:] = asked.leaves[put], [no, asked.leaves[no]]

    asked.shows(theirs)
    with pytest.raises(TrustError, match="not one that this app wrote"):
        asked.read()


@pytest.mark.control(35, 60)
def test_an_app_that_does_not_look_is_told_so(world: World) -> None:
    """Control: without the owner's entry, what waits passes for rejected, and is given up."""
    asked = Asked(world)
    asked.shows(_with_its_own_entry)
    with patch.object(access_flows, "check_rejected"):
        assert asked.read()[asked.waiting].review.status == "rejected"
