"""Who takes part in a history, and the model that follows what the witness is shown."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret import Vault
from coffret_vault.errors import CredentialsError, KeysChangedError, SessionEndedError
from harness.keychain import Keychain, Loot, Secrets
from harness.parties import Client, Device, accepted, shown
from harness.reference import OVER, Model, Shown
from harness.whims import Whim
from harness.world import Watch, World, ambient

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from harness.database import Database
    from harness.parties import Effect

COUNTED = (
    "honest", "hostile", "refused", "no difference", "forked", "unseen", "passphrases", "keys",
    "days",
)  # fmt: skip
DAY = timedelta(days=1)
MARGIN = timedelta(hours=12)
"""How much earlier than its day a grant ends, so that watches may go wrong by hours."""


def _accepts_nothing(_state: VaultState) -> Flow[int]:
    yield from ()
    return 0


class Following:
    """All of them, and how far they are."""

    def __init__(self, url: str, folder: Path, database: Database, world: World) -> None:
        """An owner with a memory, two more devices, and two apps without grants."""
        self.url, self.folder, self.database, self.world = url, folder, database, world
        self.owner = world.owner()
        self.witness = self.owner.vault
        first = self.witness.remember("the first", tags=["t"])
        self.model = Model(memories={first.id: "the first"}, sealed={first.id: 0})
        self.states = [self.model.shown()]
        self.ever: dict[str, set[tuple[str, str]]] = {}
        self.kept: list[tuple[int, Loot]] = []
        self.keychain = Keychain([Secrets(self.owner.passphrase, self.owner.kit, 1)])
        self.loot: Loot | None = None
        self.other: dict[int, bytes] = {}
        self.strays: dict[tuple[bytes, int], bytes] = {}
        self.guide = Device(self.witness, Whim(), Watch(world.clock))
        self.devices = [self._device() for _ in range(2)]
        self.apps = [self._client(number) for number in range(2)]
        self.tally = dict.fromkeys(COUNTED, 0)

    def _device(self) -> Device:
        whim, watch = Whim(), Watch(self.world.clock)
        vault = self.world.device(self.owner, **self._around(whim, watch))
        return Device(vault, whim, watch, len(self.states) - 1)

    def _client(self, number: int) -> Client:
        whim, watch = Whim(), Watch(self.world.clock)
        app = self.world.app(f"App {number}", **self._around(whim, watch))
        return Client(app, whim, watch, number)

    def _around(self, whim: Whim, watch: Watch) -> dict[str, Any]:
        return self.world.around(transport=whim, ambient=ambient(watch, self.world.web))

    def reopen(self, device: Device) -> None:
        """Close a device's vault and open it again, from what it keeps."""
        folder = device.vault.folder
        device.vault.close()
        device.whim = Whim()
        around = self._around(device.whim, device.watch)
        device.vault = self.world.closing(Vault.open(folder, **around))
        self.unlock(device)

    def unlock(self, device: Device) -> None:
        """Bring a device's keys back, if they are gone."""
        if device.vault.is_locked:
            self.keychain.unlock(device.vault)

    def catch_up(self, device: Device) -> None:
        """Have a device that is behind be told that the keys were changed, and enter again."""
        self.unlock(device)
        if self.keychain.is_behind(device.vault):
            with pytest.raises(KeysChangedError):
                device.vault.sync()
            self.keychain.enter_again(device.vault)

    # -- following --------------------------------------------------------------------------------

    def _sync(self, device: Device) -> None:
        try:
            device.vault.sync()
        except SessionEndedError:
            self.unlock(device)
            device.vault.sync()
        except KeysChangedError:
            self.keychain.enter_again(device.vault)

    def _adopt(self, effects: Sequence[Effect], *, complete: bool) -> None:
        """Find out by the witness how far a step went, and let the model follow."""
        complete = self._look() or complete
        seen, before = shown(self.witness), self.model
        unseen = self._accepted_unseen(seen)
        for count in [len(effects)] if complete else range(len(effects) + 1):
            states = self._after(unseen, effects[:count], seen)
            if states is None or (states[-1].shown(), states[-1].shown().grants) != (
                seen,
                seen.grants,
            ):
                continue
            self.model = states[-1]
            self.states += [state.shown() for state in states[1:]]
            self._note(before)
            return
        message = f"the witness shows what the model does not know: {seen} after {before.shown()}"
        raise AssertionError(message)

    def _look(self) -> bool:
        """Have the witness see what there is, without deciding anything; whether keys are new."""
        with patch("coffret.flows.entrance.accept_automatically", _accepts_nothing):
            self._sync(self.guide)
        taken = self.keychain.taken(self.witness)
        if taken is None:
            return False
        before, self.loot = taken
        with pytest.raises(CredentialsError):
            self.world.device(replace(self.owner, passphrase=before.passphrase, kit=before.kit))
        now = self.keychain.now
        self.owner.passphrase, self.owner.kit = now.passphrase, now.kit
        self.tally["keys" if self.loot else "passphrases"] += 1
        return True

    def _accepted_unseen(self, seen: Shown) -> list[Effect]:
        """The effects of what devices accepted because the owner chose not to be asked."""
        found: list[Effect] = []
        for key, item in self.model.waiting.items():
            if not self.model.may_be_accepted_unseen(key):
                continue
            if key not in seen.waiting:
                found += accepted(key)
                self.tally["unseen"] += 1
            elif seen.memories.get(key[0]) == item.text != self.model.memories.get(key[0]):
                found.append(accepted(key)[0])
        return found

    def _after(
        self, unseen: Sequence[Effect], effects: Sequence[Effect], seen: Shown
    ) -> list[Model] | None:
        """The model's states until these effects were there; None where they cannot have been."""
        states = self._path([*unseen, *effects], seen)
        if states is None or not unseen:
            return states
        return [*states[:-1], *(self._path([*effects, *unseen], seen) or ())[1:-1], states[-1]]

    def _path(self, effects: Sequence[Effect], seen: Shown) -> list[Model] | None:
        states = [deepcopy(self.model)]
        states[0].now += 1
        for effect in effects:
            states.append(deepcopy(states[-1]))
            try:
                effect(states[-1], seen)
            except LookupError:
                return None
        return states

    def _note(self, before: Model) -> None:
        """What apps could read, and what those kept that were just revoked."""
        for name, share in self.model.grants.items():
            self.ever.setdefault(name, set()).update(self.model.readable(name))
            if self.model.stands(name) in OVER and before.stands(name) not in OVER:
                self.kept.append((self.model.now, Loot(tuple(self.apps[share.app].keys))))
        if self.loot is not None:
            self.kept.append((self.model.now, self.loot))
            self.loot = None
