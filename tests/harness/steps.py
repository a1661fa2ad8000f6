"""What the parties of a history can do: each a step, with what it should change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.errors import ConflictError
from coffret_vault.formats.layout import parse_id
from harness.keychain import Secrets, loot_of
from harness.parties import Client, Device, Step, accepted
from harness.reference import ACTIVE, ENDED, PAUSED, REVOKED, Model, Shown

if TYPE_CHECKING:
    from coffret import RecoveryKit, Vault
    from harness.ensemble import Ensemble


def begun(grant: str, text: str) -> Any:
    """The effect of an app's writing this text, of which there is no other."""

    def effect(model: Model, seen: Shown) -> None:
        memory_id, version = next(
            (key for key, found in seen.waiting.items() if found == text), ("", 0)
        )
        if not version:
            raise LookupError
        model.propose(grant, memory_id, version, text)

    return effect


def doomed(grant: str) -> Any:
    """The effect of an app's proposing a deletion: the one that the model does not know."""

    def effect(model: Model, seen: Shown) -> None:
        new = [
            key for key, text in seen.waiting.items() if text is None and key not in model.waiting
        ]
        if not new:
            raise LookupError
        model.propose(grant, *new[0], None)

    return effect


def _overtaken(vault: Vault, memory_id: str, version: int) -> bool:
    """Whether a later version than this one is current, as far as a device knows."""
    memory = vault._state.store.state(parse_id(memory_id))
    return memory is not None and memory.current > version


class Steps:
    """The steps of an ensemble; which memory or grant they are about is chosen by number."""

    all: Ensemble
    texts = 0

    def _text(self) -> str:
        self.texts += 1
        return f"text {self.texts}"

    def _picked(self, number: int) -> str:
        known = sorted(self.all.model.memories)
        return known[number % len(known)] if known else ""

    def _grant(self, number: int, *states: str) -> str:
        model = self.all.model
        known = [name for name in model.grants if model.stands(name) in states]
        return known[number % len(known)] if known else ""

    def _sync(self, device: Device, _number: int = 0) -> Step:
        return Step(device.vault.sync)

    def _remember(self, device: Device, _number: int) -> Step:
        text = self._text()

        def effect(model: Model, seen: Shown) -> None:
            model.write({found: name for name, found in seen.memories.items()}[text], text)

        return Step(lambda: device.vault.remember(text, tags=["t"]), (effect,))

    def _update(self, device: Device, number: int) -> Step:
        memory_id, text = self._picked(number), self._text()

        def act() -> Any:
            if not memory_id:
                return False
            device.vault.sync()
            return device.vault.update(memory_id, content=text)

        return Step(act, (lambda model, _: model.write(memory_id, text),))

    def _forget(self, device: Device, number: int) -> Step:
        memory_id = self._picked(number)

        def act() -> Any:
            if not memory_id:
                return False
            device.vault.sync()
            return device.vault.forget(memory_id)

        return Step(act, (lambda model, _: model.drop(memory_id),))

    def _accept(self, device: Device, number: int) -> Step:
        return self._decide(device, number, accept=True)

    def _reject(self, device: Device, number: int) -> Step:
        return self._decide(device, number, accept=False)

    def _decide(self, device: Device, number: int, *, accept: bool) -> Step:
        model = self.all.model
        known = sorted(
            (key, item)
            for key, item in model.waiting.items()
            if not model.may_be_accepted_unseen(key)
        )
        if not known:
            return Step(lambda: False)
        key, item = known[number % len(known)]

        def act() -> Any:
            device.vault.sync()
            decide = device.vault.accept if accept else device.vault.reject
            if accept and item.text is None and _overtaken(device.vault, *key):
                with pytest.raises(ConflictError):
                    decide(*key)
                return False
            return decide(*key)

        if not accept:
            return Step(act, (lambda model, _: model.reject(key),))
        if item.text is None:
            return Step(act, (lambda model, _: model.accept(key),))

        return Step(act, accepted(key))

    def _move(self, device: Device, number: int, target: str, *states: str) -> Step:
        """Move a grant on; half of the time without having read what is new."""
        grant = self._grant(number, *states)

        def act() -> Any:
            if not grant:
                return False
            vault = device.vault
            known = {item.grant_id: item.state for item in vault.grants()}
            if number % 2 or known.get(grant) != self.all.model.stands(grant):
                vault.sync()
            how = {PAUSED: vault.pause, ACTIVE: vault.resume, REVOKED: vault.revoke}[target]
            return how(grant)

        return Step(act, (lambda model, _: model.move(grant, target),))

    def _pause_unread(self, device: Device, grant: str) -> Step:
        """Pause a grant without a look at what is new."""
        return Step(
            lambda: device.vault.pause(grant), (lambda model, _: model.move(grant, PAUSED),)
        )

    def _pause(self, device: Device, number: int) -> Step:
        return self._move(device, number, PAUSED, ACTIVE)

    def _resume(self, device: Device, number: int) -> Step:
        return self._move(device, number, ACTIVE, PAUSED)

    def _revoke(self, device: Device, number: int) -> Step:
        return self._move(device, number, REVOKED, ACTIVE, PAUSED, ENDED)

    def _rotate(self, device: Device, _number: int) -> Step:
        return Step(
            lambda: (device.vault.sync(), device.vault.rotate()), (lambda model, _: model.rotate(),)
        )

    def _change_passphrase(self, device: Device, _number: int) -> Step:
        passphrase = self._text()

        def act() -> None:
            device.vault.sync()
            old, code = self.all.keychain.now.typed()
            self.all.keychain.offer(self.all.keychain.now._replace(passphrase=passphrase))
            device.vault.change_passphrase(old, passphrase, code)

        return Step(act)

    def _change_keys(self, device: Device, _number: int) -> Step:
        passphrase = self._text()

        def act() -> None:
            generation, loot = self.all.keychain.now.generation, loot_of(self.all.witness)

            def print_out(kit: RecoveryKit) -> None:
                self.all.keychain.offer(Secrets(passphrase, kit, generation + 1), loot)

            device.vault.change_keys(passphrase, print_out)

        return Step(act, (lambda model, _: model.change_keys(),))

    def _enter_again(self, device: Device) -> Step:
        return Step(lambda: self.all.keychain.enter_again(device.vault))

    def _app_read(self, client: Client, _number: int) -> Step:
        access = client.access
        assert access is not None
        return Step(access.refresh, (), self.all.allowed(client))

    def _app_remember(self, client: Client, _number: int) -> Step:
        access, text = client.access, self._text()
        assert access is not None
        return Step(
            lambda: access.remember(text, tags=["t"]),
            (begun(client.grant, text),),
            self.all.allowed(client, "create"),
        )

    def _app_update(self, client: Client, number: int) -> Step:
        access, text = client.access, self._text()
        memory_id, refused = self._shared(client, number, "update")
        assert access is not None
        if not memory_id:
            return Step(lambda: False)
        return Step(
            lambda: access.update(memory_id, content=text), (begun(client.grant, text),), refused
        )

    def _app_forget(self, client: Client, number: int) -> Step:
        access = client.access
        memory_id, refused = self._shared(client, number, "delete")
        assert access is not None
        if not memory_id:
            return Step(lambda: False)
        return Step(lambda: access.forget(memory_id), (doomed(client.grant),), refused)

    def _shared(self, client: Client, number: int, scope: str) -> tuple[str, Any]:
        """A memory that an app may read, if there is one; and how it is refused more than that."""
        refused = self.all.allowed(client, scope)
        if self.all.allowed(client) is not None:
            return self._picked(number), refused
        assert client.access is not None
        known = sorted(
            item.id for item in client.access.memories() if item.review.status == "approved"
        )
        return known[number % len(known)] if known else "", refused

    OFTEN = (
        _sync,
        _remember,
        _update,
        _forget,
        _accept,
        _reject,
        _pause,
        _resume,
        _revoke,
        _rotate,
    )
    OWNERS = (*OFTEN, *OFTEN, _change_passphrase, _change_keys)
    APPS = (_app_read, _app_remember, _app_update, _app_forget)

    def _step(self, who: int, what: int, number: int) -> tuple[Device | Client, Step] | None:
        """A step of one of the four: the devices are 0 and 1, the apps 2 and 3."""
        if who < 2:
            device = self.all.devices[who]
            if self.all.keychain.is_behind(device.vault):
                return device, self._enter_again(device)
            return device, self.OWNERS[what % len(self.OWNERS)](self, device, number)
        client = self.all.apps[who - 2]
        if client.access is None:
            return None
        return client, self.APPS[what % len(self.APPS)](self, client, number)
