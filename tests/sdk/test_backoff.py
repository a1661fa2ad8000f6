"""Who loses to others' writing waits, longer each time, and gives up in the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.flows import backoff
from coffret.flows.backoff import back_off
from coffret.flows.http import LogMovedError, Request, Response
from coffret.flows.state import Ambient
from coffret.transport import AsyncDriver, SyncDriver
from harness.network import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from coffret import Vault
    from coffret.flows.http import Flow
    from harness.world import World


class Overtaken(Gate):
    """A network on which another device is quicker, as often as it is told."""

    other: Vault | None = None
    times = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Have the other one write before a memory arrives."""
        if self.other and self.times and request.url.path.endswith("/memory-blobs"):
            self.times -= 1
            self.other.remember("by another device")
        return super().handle_request(request)


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """The seconds of each wait, none of which is waited."""
    found: list[float] = []
    with patch("coffret.transport.sleep", found.append):
        yield found


def _overtaken(world: World, times: int) -> Vault:
    network = Overtaken()
    owner = world.owner(transport=network)
    network.other = world.device(owner)
    network.times = times
    return owner.vault


def test_nobody_waits_who_was_overtaken_once(world: World, waits: list[float]) -> None:
    """One other writer in between costs no wait, and no change is lost."""
    _overtaken(world, 1).remember("mine")
    assert waits == []


def test_waits_are_random_and_bounded(world: World, waits: list[float]) -> None:
    """Each is below a bound that doubles; the change gets in when the others pause."""
    vault = _overtaken(world, 12)
    vault.remember("mine")
    assert len(waits) == 11
    bounds = [min(1.0, 0.01 * 2**lost) for lost in range(1, 12)]
    assert all(0 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    assert len(set(waits)) > 1
    assert "mine" in [memory.content for memory in vault.list()]


def test_who_is_overtaken_for_ever_gives_up(world: World, waits: list[float]) -> None:
    """The number of tries is bounded, and nothing was written."""
    vault = _overtaken(world, -1)
    with patch("coffret.flows.append._ROUNDS", 5), pytest.raises(LogMovedError):
        vault.remember("mine")
    assert len(waits) == 4
    assert "mine" not in [memory.content for memory in vault.list()]


def test_many_rounds_outlast_a_burst() -> None:
    """With the most that each wait may be, a hundred rounds are more than a minute."""
    ambient = Ambient(random=lambda size: b"\xff" * size)
    asked = [next(back_off(ambient, lost)).seconds for lost in range(1, 100)]
    assert asked == sorted(asked)
    assert 60 < sum(asked) <= 100 * backoff._LONGEST


def test_the_shortest_wait_is_one_still() -> None:
    """Whatever is drawn, the driver is asked to wait, and not to send a request of no kind."""
    ambient = Ambient(random=bytes)
    assert all(next(back_off(ambient, lost)).seconds > 0 for lost in range(1, 100))


def _waiting() -> Flow[int]:
    answer: Response = yield Request("", "", seconds=0.25)
    return answer.status


def test_both_drivers_wait_and_send_nothing(waits: list[float]) -> None:
    """A flow that asks to wait is answered without the network."""

    async def run() -> int:
        driver = AsyncDriver("http://127.0.0.1:1")
        try:
            return await driver.run(_waiting())
        finally:
            await driver.close()

    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    driver = SyncDriver("http://127.0.0.1:1")
    assert driver.run(_waiting()) == 204
    driver.close()
    with patch("coffret.transport.sleep_async", sleep):
        assert asyncio.run(run()) == 204
    assert waits == slept == [0.25]
