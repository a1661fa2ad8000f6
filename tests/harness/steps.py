"""What the parties of a history can do: each a step, with what it should change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.parties import Client, Device, Step
from harness.reference import ACTIVE, PAUSED, REVOKED, Model, Shown

if TYPE_CHECKING:
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
        grants = self.all.model.grants
        known = [name for name, share in grants.items() if share.state in states]
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
        known = sorted(self.all.model.waiting.items())
        if not known:
            return Step(lambda: False)
        key, item = known[number % len(known)]

        def act() -> None:
            device.vault.sync()
            decide = device.vault.accept if accept else device.vault.reject
            decide(*key)

        if not accept:
            return Step(act, (lambda model, _: model.reject(key),))
        if item.text is None:
            return Step(act, (lambda model, _: model.accept(key),))

        def first(model: Model, _seen: Shown) -> None:
            model.accept(key)
            model.waiting[key] = item

        return Step(act, (first, lambda model, _: model.accept(key)))

    def _move(self, device: Device, grant: str, state: str) -> Step:
        def act() -> Any:
            if not grant:
                return False
            device.vault.sync()
            vault = device.vault
            how = {PAUSED: vault.pause, ACTIVE: vault.resume, REVOKED: vault.revoke}[state]
            return how(grant)

        return Step(act, (lambda model, _: model.move(grant, state),))

    def _pause(self, device: Device, number: int) -> Step:
        return self._move(device, self._grant(number, ACTIVE), PAUSED)

    def _resume(self, device: Device, number: int) -> Step:
        return self._move(device, self._grant(number, PAUSED), ACTIVE)

    def _revoke(self, device: Device, number: int) -> Step:
        return self._move(device, self._grant(number, ACTIVE, PAUSED), REVOKED)

    def _rotate(self, device: Device, _number: int) -> Step:
        return Step(
            lambda: (device.vault.sync(), device.vault.rotate()), (lambda model, _: model.rotate(),)
        )

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

    OWNERS = (
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
    APPS = (_app_read, _app_remember, _app_update, _app_forget)

    def _step(self, who: int, what: int, number: int) -> tuple[Device | Client, Step] | None:
        """A step of one of the four: the devices are 0 and 1, the apps 2 and 3."""
        if who < 2:
            device = self.all.devices[who]
            return device, self.OWNERS[what % len(self.OWNERS)](self, device, number)
        client = self.all.apps[who - 2]
        if client.access is None:
            return None
        return client, self.APPS[what % len(self.APPS)](self, client, number)
