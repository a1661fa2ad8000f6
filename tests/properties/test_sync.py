"""Random histories of two devices and an app end alike, whoever synced when."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from coffret.testing import Server
from coffret_vault.errors import NotFoundError
from harness.world import World

if TYPE_CHECKING:
    from coffret import Vault

devices = st.sampled_from([0, 1])
picks = st.integers(min_value=0, max_value=9)
texts = st.text(min_size=1, max_size=12).filter(lambda text: "\ud800" not in text)


class Model:
    """What the vault should hold: the content of each memory by its id, and what waits."""

    def __init__(self) -> None:
        """Begin empty."""
        self.memories: dict[str, str] = {}
        self.waiting: dict[tuple[str, int], str | None] = {}

    def drop(self, memory_id: str) -> None:
        """Forget a memory with all that waits for it."""
        self.memories.pop(memory_id, None)
        self.waiting = {key: text for key, text in self.waiting.items() if key[0] != memory_id}


class Devices(RuleBasedStateMachine):
    """Two devices and an app at one vault, beside a plain model of it."""

    server: Server

    def __init__(self) -> None:
        """Make the vault, its second device, and an app that may do everything."""
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.world = self.stack.enter_context(World(self.server.url, folder))
        self.owner = self.world.owner()
        self.vaults: tuple[Vault, Vault] = (self.owner.vault, self.world.device(self.owner))
        app = self.world.app()
        self.app_id = app.info.app_id
        _, self.access = self.world.granted(self.owner, app, standing=True, approve_standing=True)
        self.model = Model()

    def teardown(self) -> None:
        """Compare everything at the end, on a third device too, and close it."""
        try:
            for vault in (*self.vaults, self.world.device(self.owner)):
                vault.sync()
                self._compare(vault)
            heads = {vault.status().head for vault in self.vaults}
            assert len(heads) == 1
            self._compare_access()
        finally:
            self.stack.close()

    def _compare_access(self) -> None:
        seen = {memory.id: memory for memory in self.access.memories()}
        assert self.model.memories.keys() <= seen.keys()
        for memory_id, memory in seen.items():
            if memory.review.status == "approved":
                assert memory.content == self.model.memories[memory_id]
            else:
                assert memory.author == self.app_id

    def _compare(self, vault: Vault) -> None:
        assert {memory.id: memory.content for memory in vault.list()} == self.model.memories
        waiting = {
            (item.memory_id, item.version): item.proposed.content if item.proposed else None
            for item in vault.pending()
        }
        assert waiting == self.model.waiting

    def _pick(self, number: int) -> str | None:
        known = sorted(self.model.memories)
        return known[number % len(known)] if known else None

    @rule(device=devices, text=texts)
    def remember(self, device: int, text: str) -> None:
        """A device writes."""
        memory = self.vaults[device].remember(text, tags=["t"])
        self.model.memories[memory.id] = text

    @rule(device=devices, number=picks, text=texts)
    def update(self, device: int, number: int, text: str) -> None:
        """A device changes a memory, which it may not have yet."""
        memory_id = self._pick(number)
        if memory_id is None:
            return
        try:
            self.vaults[device].update(memory_id, content=text)
        except NotFoundError:
            self.vaults[device].sync()
            self.vaults[device].update(memory_id, content=text)
        self.model.memories[memory_id] = text

    @rule(device=devices, number=picks)
    def forget(self, device: int, number: int) -> None:
        """A device deletes a memory."""
        memory_id = self._pick(number)
        if memory_id is None:
            return
        self.vaults[device].sync()
        self.vaults[device].forget(memory_id)
        self.model.drop(memory_id)

    @rule(device=devices)
    def sync(self, device: int) -> None:
        """A device catches up, and then stands where the model does."""
        self.vaults[device].sync()
        self._compare(self.vaults[device])

    @rule(text=texts)
    def propose(self, text: str) -> None:
        """The app creates."""
        memory = self.access.remember(text, tags=["t"])
        self.model.waiting[memory.id, 1] = text

    @rule(number=picks, text=texts)
    def propose_change(self, number: int, text: str) -> None:
        """The app changes what it may read."""
        memory_id = self._pick(number)
        if memory_id is not None:
            memory = self.access.update(memory_id, content=text)
            self.model.waiting[memory_id, memory.version] = text

    @rule(device=devices, number=picks)
    def accept(self, device: int, number: int) -> None:
        """A device accepts something that waits, overtaken or not."""
        self._decide(device, number, accept=True)

    @rule(device=devices, number=picks)
    def reject(self, device: int, number: int) -> None:
        """A device rejects something that waits."""
        self._decide(device, number, accept=False)

    def _decide(self, device: int, number: int, *, accept: bool) -> None:
        vault, known = self.vaults[device], sorted(self.model.waiting)
        if not known:
            return
        vault.sync()
        memory_id, version = known[number % len(known)]
        if accept:
            vault.accept(memory_id, version)
            text = self.model.waiting[memory_id, version]
            assert text is not None
            self.model.memories[memory_id] = text
        else:
            vault.reject(memory_id, version)
        del self.model.waiting[memory_id, version]

    @invariant()
    def stores_are_whole(self) -> None:
        """No device ever lacks a record that its log names."""
        assert all(vault.check() == 0 for vault in self.vaults)


def test_histories_end_alike() -> None:
    """After any history all devices hold the same memories, the same questions and one head."""
    with Server() as server:
        bounds = settings(
            max_examples=10,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        Devices.server = server
        run_state_machine_as_test(Devices, settings=bounds)
