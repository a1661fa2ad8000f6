"""What was planted in a locked device's folder, while the device reads it again.

The server is in league with whoever planted it, and takes its time with the answers: what is shown
to another thread, to another task, or after the waiting was given up, is what was planted or none.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import pytest

from adversary.test_planted_states import PLANTS
from coffret import AsyncVault, Vault
from coffret_vault.errors import CoffretError, NetworkError, StoreAlteredError
from coffret_vault.store.known import Known
from harness.folders import Stage, shown
from harness.network import Evil, Gate
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from harness.world import World

WAY = "/grants/"
"""A request that is made while all is read again."""


class Slow(Gate):
    """A network on which something happens before an answer to a request of a kind comes."""

    def __init__(self) -> None:
        """Nothing does."""
        super().__init__()
        self.meanwhile: Callable[[], None] = lambda: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Let it happen."""
        response = super().handle_request(request)
        if WAY in request.url.path:
            self.meanwhile()
        return response


class Silent(httpx.AsyncBaseTransport):
    """The same for asyncio: such an answer comes when it is let through."""

    def __init__(self) -> None:
        """Let nothing through."""
        self.inner = httpx.AsyncHTTPTransport(verify=False)
        self.asked, self.through = asyncio.Event(), asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Wait with the answer."""
        response = await self.inner.handle_async_request(request)
        await response.aread()
        if WAY in request.url.path:
            self.asked.set()
            await self.through.wait()
        return response

    async def aclose(self) -> None:
        """Close the real one."""
        await self.inner.aclose()


def found(vault: Vault | AsyncVault) -> object:
    """What an owner is shown, or why nothing is."""
    try:
        return shown(vault)  # type: ignore[arg-type]  # what it asks for needs no server
    except CoffretError as error:
        return error.code


def in_a_thread(vault: Vault) -> object:
    """The same, for another thread of the program."""
    told: list[object] = []
    thread = threading.Thread(target=lambda: told.append(found(vault)))
    thread.start()
    thread.join()
    return told[0]


def planted(stage: Stage, plant: str) -> Path:
    """The folder of a device that is closed, with something planted in it."""
    vault = stage.planted(PLANTS[plant])
    vault.close()
    return vault.folder


def seen_meanwhile(stage: Stage, folder: Path, look: Callable[[Vault], object]) -> set[str]:
    """What is shown while a sync waits, and nothing but the truth after it."""
    network = Slow()
    told: set[str] = set()
    vault = stage.world.closing(Vault.open(folder, **stage.world.around(transport=network)))
    vault.unlock(PASSPHRASE, stage.owner.secret_key)
    network.meanwhile = lambda: told.add(str(look(vault)))
    with pytest.raises(StoreAlteredError, match="read again"):
        vault.sync()
    assert shown(vault) == stage.truth
    return told - {str(stage.truth)}


@pytest.mark.attack(49)
@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("look", [in_a_thread, found])
def test_nothing_planted_is_shown_while_it_is_read_again(
    world: World, plant: str, look: Callable[[Vault], object]
) -> None:
    """Other threads are refused until all was read from the log, however long the server takes."""
    stage = Stage(world)
    assert seen_meanwhile(stage, planted(stage, plant), look) == {"store-altered"}


@pytest.mark.control(49)
def test_a_device_that_lets_all_pass_meanwhile_shows_it(world: World) -> None:
    """Control: where what is set aside is so for everybody, another thread is shown it."""
    stage = Stage(world)
    folder = planted(stage, "a memory is turned back")
    for_everybody = property(lambda known: bool(known._aside))
    with (
        patch.object(Known, "aside", for_everybody),
        patch("coffret.flows.sync.with_nothing_known", _for_all),
    ):
        told = seen_meanwhile(stage, folder, in_a_thread)
    assert any("first" in str(each) for each in told)


def _for_all(state: VaultState, flow: Flow[object]) -> Flow[object]:
    with state.store.known.set_aside():
        return (yield from flow)


@pytest.mark.attack(49)
@pytest.mark.parametrize("plant", PLANTS)
def test_nothing_planted_is_shown_to_another_task(world: World, plant: str) -> None:
    """Nor while a sync is awaited, nor where it was given up and its error is held on to."""
    stage = Stage(world)
    folder = planted(stage, plant)

    async def attack() -> list[object]:
        network = Silent()
        vault = AsyncVault.open(folder, **world.around(transport=network))
        await vault.unlock(PASSPHRASE, stage.owner.secret_key)
        told = []
        for _ in range(2):
            network.asked.clear()
            syncing = asyncio.create_task(vault.sync())
            await network.asked.wait()
            told.append(found(vault))
            syncing.cancel()
            try:
                await syncing
            except asyncio.CancelledError as given_up:
                told.append((found(vault), given_up)[0])
        network.through.set()
        with pytest.raises(StoreAlteredError, match="read again"):
            await vault.sync()
        assert found(vault) == stage.truth
        await vault.close()
        return told

    assert asyncio.run(attack()) == ["store-altered"] * 4


@pytest.mark.attack(49)
@pytest.mark.parametrize("plant", PLANTS)
def test_nothing_planted_is_shown_to_who_is_told_of_progress(world: World, plant: str) -> None:
    """A program's own progress is called while all is read again, and is refused as others are."""
    stage = Stage(world)
    folder = planted(stage, plant)
    other = world.device(stage.owner)
    other.remember("one more")
    truth = shown(other)
    evil = Evil()
    evil.rewrite["/sync"] = lambda page: [page[0], page[1], []]  # so that the log is read by itself
    vault = world.closing(Vault.open(folder, **world.around(transport=evil)))
    vault.unlock(PASSPHRASE, stage.owner.secret_key)
    told: list[tuple[str, object]] = []

    def progress(what: str, _done: int, _of: int) -> None:
        evil.rewrite.clear()
        told.append((what, found(vault)))

    with pytest.raises(StoreAlteredError, match="read again"):
        vault.sync(progress)
    assert ("log", "store-altered") in told
    assert all(seen in ("store-altered", truth) for _, seen in told)
    assert shown(vault) == truth


@pytest.mark.attack(49)
def test_what_is_read_again_in_vain_stays_refused(world: World) -> None:
    """A server that fails in the middle leaves what was planted as it was: refused."""
    stage = Stage(world)
    folder = planted(stage, "a memory is turned back")
    network = Slow()
    vault = world.closing(Vault.open(folder, **world.around(transport=network)))
    vault.unlock(PASSPHRASE, stage.owner.secret_key)

    def fail() -> None:
        message = "gone"
        raise httpx.ReadError(message)

    network.meanwhile = fail
    with pytest.raises(NetworkError):
        vault.sync()
    assert found(vault) == "store-altered"
    network.meanwhile = lambda: None
    with pytest.raises(StoreAlteredError, match="read again"):
        vault.sync()
    assert found(vault) == stage.truth
