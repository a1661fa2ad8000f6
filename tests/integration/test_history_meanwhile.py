"""A memory's history while other devices go on writing it, deciding about it, or changing keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adversary.test_key_changes import change
from coffret_vault.errors import KeysChangedError
from harness.network import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from harness.world import World


class _Meanwhile(Gate):
    """A network on which another device acts before each question for versions, and behind it."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act = act

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        asked = request.url.path.endswith("/versions")
        if asked:
            self._act()
        response = super().handle_request(request)
        if asked:
            self._act()
        return response


def test_a_memory_that_is_written_without_pause_has_a_history(world: World) -> None:
    """However often another device is quicker, no server is accused, and all is read in order."""
    owner = world.owner()
    memory = owner.vault.remember("0")
    written = [0]

    def write() -> None:
        written.append(written[-1] + 1)
        owner.vault.update(memory.id, content=str(written[-1]))

    device = world.device(owner, transport=_Meanwhile(write))
    for _ in range(3):
        write()
        steps = device.history(memory.id)
        shown = [step.memory.content for step in steps if step.memory]
        assert shown == [str(number) for number in range(len(steps))]
        assert len(steps) >= len(written) - 1  # all that was written when it was asked


def test_a_memory_that_is_proposed_and_rejected_without_pause_has_a_history(world: World) -> None:
    """What is erased between two questions is what the owner's log says was rejected by now."""
    owner = world.owner()
    memory = owner.vault.remember("kept")
    _, access = world.granted(owner, world.app())

    def propose_and_reject() -> None:
        access.update(memory.id, content="worse")
        owner.vault.sync()
        owner.vault.reject(memory.id)

    device = world.device(owner, transport=_Meanwhile(propose_and_reject))
    for _ in range(2):
        steps = device.history(memory.id)
        assert [step.memory.content for step in steps if step.memory] == ["kept"]


def test_a_memory_that_is_forgotten_meanwhile_has_a_history(world: World) -> None:
    """A deletion behind what was read here explains that nothing is left."""
    owner = world.owner()
    memory = owner.vault.remember("one")
    device = world.device(owner, transport=_Meanwhile(_once(lambda: owner.vault.forget(memory.id))))
    assert [(step.deletion, step.memory) for step in device.history(memory.id)] == [
        (False, None),
        (True, None),
    ]


def test_keys_that_are_changed_meanwhile_accuse_no_server(world: World) -> None:
    """Versions under keys that are new here say that keys were changed, and not that one lied."""
    owner = world.owner()
    memory = owner.vault.remember("one")
    device = world.device(owner, transport=_Meanwhile(_once(lambda: change(owner.vault))))
    with pytest.raises(KeysChangedError):
        device.history(memory.id)


def _once(act: Callable[[], object]) -> Callable[[], None]:
    acts = [act]

    def first() -> None:
        if acts:
            acts.pop()()

    return first
