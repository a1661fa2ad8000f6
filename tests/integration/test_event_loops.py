"""An event loop goes on while keys are derived from a passphrase."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from coffret import AsyncVault
from coffret.flows.aside import aside
from coffret.flows.backoff import back_off
from coffret.flows.state import Ambient
from coffret.transport import AsyncDriver, SyncDriver
from coffret_vault.errors import WeakKdfError
from coffret_vault.keyslots import kdf, slots
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from coffret.flows.http import Flow
    from harness.world import World

NEW_PASSPHRASE = "another one by now"
PATIENCE = 10.0
NOWHERE = "http://127.0.0.1:9"


class Slow:
    """A derivation that ends when the event loop, going on, lets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the real one, which does the work."""
        self._real = kdf.stretch
        self._begun, self._goes_on = threading.Event(), threading.Event()
        self.heard: list[bool] = []
        monkeypatch.setattr(slots, "stretch", self._stretch)

    def _stretch(self, *given: Any) -> bytes:
        self._begun.set()
        self.heard.append(self._goes_on.wait(PATIENCE))
        self._goes_on.clear()
        return self._real(*given)

    async def beside(self, work: Awaitable[Any]) -> Any:
        """Await work while the loop lets derivations go on; none may wait for the loop in vain."""
        ticking = asyncio.create_task(self._tick())
        try:
            done = await work
        finally:
            ticking.cancel()
        assert self.heard, "nothing was derived"
        assert all(self.heard), "the loop stood still"
        self.heard.clear()
        return done

    async def _tick(self) -> None:
        while True:
            if self._begun.is_set():
                self._begun.clear()
                self._goes_on.set()
            await asyncio.sleep(0.001)


def test_no_way_into_a_vault_keeps_the_loop(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making, entering, unlocking and recovering a vault, and changing its keys, leave the loop."""
    slow, url = Slow(monkeypatch), world.url

    async def work() -> None:
        around = world.around()
        made = AsyncVault.create(url, "loops", PASSPHRASE, tmp_path / "1", **around)
        vault, kit = await slow.beside(made)
        key = kit.secret_key_code()
        async with vault:
            vault.lock()
            await slow.beside(vault.unlock(PASSPHRASE, key))
            await slow.beside(vault.change_passphrase(PASSPHRASE, NEW_PASSPHRASE, key))
            entering = AsyncVault.login(url, "loops", NEW_PASSPHRASE, key, tmp_path / "2", **around)
            async with await slow.beside(entering) as second:
                kits: list[Any] = []
                await slow.beside(vault.change_keys(PASSPHRASE, kits.append))
                key = kits[0].secret_key_code()
                await slow.beside(second.log_in_again(PASSPHRASE, key))
            code = kits[0].recovery_code_text()
            recovering = AsyncVault.recover(
                url, "loops", code, NEW_PASSPHRASE, tmp_path / "3", **around
            )
            async with (await slow.beside(recovering))[0] as third:
                assert not third.is_locked

    asyncio.run(work())


def _refuse() -> None:
    raise WeakKdfError


def _flow() -> Flow[str]:
    with pytest.raises(WeakKdfError):
        yield from aside(_refuse)
    yield from back_off(Ambient(), 1)
    return (yield from aside(lambda: "done"))


def test_what_fails_aside_fails_in_the_flow() -> None:
    """An error of work that a driver does aside is raised where the flow asked for it, by both."""
    driver = SyncDriver(NOWHERE)
    assert driver.run(_flow()) == "done"
    driver.close()

    async def work() -> str:
        asynchronous = AsyncDriver(NOWHERE)
        try:
            return await asynchronous.run(_flow())
        finally:
            await asynchronous.close()

    assert asyncio.run(work()) == "done"
