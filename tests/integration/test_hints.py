"""What whoever made a change is told of it by an error of a server that is found out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from coffret.flows.hints import BEGUN_WAITS, WAITS
from coffret_vault.errors import NetworkError, TrustError
from harness.network import Losing

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.world import World

pytestmark = pytest.mark.usefixtures("one_try")


class Stalling(Losing):
    """Says that the log has moved to what is posted or put below a path, if one is named."""

    path = ""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Take nothing there."""
        below = self.path and request.url.path.startswith(f"/api/v1{self.path}")
        if below and request.method in {"POST", "PUT"}:
            problem = {"code": "log-moved", "status": 409, "current": {"size": 1, "head": ""}}
            return httpx.Response(409, json=problem)
        return super().handle_request(request)


def _refused(write: Callable[[], object]) -> str:
    with pytest.raises(TrustError) as raised:
        write()
    return raised.value.hint


def test_a_change_that_was_begun_is_said_to_be_kept(world: World) -> None:
    """Its error says so itself, wherever it is read; another one, not begun, says no such thing."""
    network = Stalling()
    vault = world.owner(transport=network).vault
    first = vault.remember("first")
    network.path = "/memory-blobs"
    assert _refused(lambda: vault.update(first.id, content="changed")) == WAITS
    assert _refused(lambda: vault.update(first.id, content="another")) == ""
    network.path = ""
    vault.sync()
    network.path = "/memory-blobs"
    assert _refused(lambda: vault.remember("second")) == BEGUN_WAITS
    network.path = ""
    vault.sync()
    assert sorted(memory.content for memory in vault.list()) == ["changed", "second"]


def test_what_is_kept_again_is_not_taken_for_what_is_wanted(world: World) -> None:
    """A memory that others overtook is sent anew first: the change behind it was never begun."""
    network = Stalling()
    owner = world.owner(transport=network)
    first = owner.vault.remember("first")
    other = world.device(owner)
    network.lose = lambda request: request.method == "POST"
    network.reaching = False
    with pytest.raises(NetworkError):
        owner.vault.remember("waits")
    network.lose = lambda _: False
    other.remember("by another device")
    network.path = "/log"
    writes: tuple[Callable[[], object], ...] = (
        owner.vault.sync,
        lambda: owner.vault.update(first.id, content="changed"),
        lambda: owner.vault.remember("new"),
    )
    assert [_refused(write) for write in writes] == ["", "", ""]
