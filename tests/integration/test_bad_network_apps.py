"""An app behind a proxy that cuts, repeats, delays and reorders: its owner gets what it wrote."""

from __future__ import annotations

import os
import uuid
from itertools import product
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret import Fields, NewMemory
from coffret_vault.errors import NetworkError
from harness.faces import FACES
from harness.proxy import Fault, Proxy
from harness.world import World
from integration.test_bad_network import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from coffret import Access, Vault

    Texts = dict[str, str]

BATCH = 3
IN_PAIRS = patch("coffret.flows.creating.AT_ONCE", 2)
QUICK = patch("coffret.transport._FIRST_BACKOFF", 0.001)


@pytest.fixture
def proxy(coffret_url: str) -> Iterator[Proxy]:
    """A proxy before the server."""
    with Proxy(coffret_url) as made:
        yield made


def named() -> str:
    """An id that an app chooses."""
    return str(uuid.UUID(bytes=os.urandom(16), version=4))


class Writing:
    """An app behind the proxy, and its owner, whose own way to the server is good."""

    def __init__(self, world: World, proxy: Proxy, transport: Any) -> None:
        """One grant, for all that an app can do."""
        self.proxy = proxy
        self.owner = world.owner()
        app = world.app(transport=transport)
        _, self.access = world.granted(self.owner, app, standing=True, approve_standing=True)
        self.failed = 0

    def tried(self, faults: list[Fault], act: Callable[[], object]) -> bool:
        """Do something while these faults befall it; whether it came back."""
        self.proxy.faults = list(faults)
        try:
            act()
        except NetworkError:
            self.failed += 1
            return False
        else:
            return True
        finally:
            self.proxy.faults.clear()

    def round(self, faults: list[Fault]) -> None:
        """Write, change, and write many, each with these faults; all is decided in between."""
        self._create(faults)
        self._update(faults)
        self._create_many(faults)
        for memory in self.owner.vault.list():
            self.owner.vault.forget(memory.id)

    def _create(self, faults: list[Fault]) -> None:
        name, text = named(), f"new {os.urandom(4).hex()}"
        told = self.tried(faults, lambda: self.access.remember(text, memory_id=name))
        assert self.waiting() in ([{name: text}] if told else [{}, {name: text}])
        assert self.access.remember(text, memory_id=name).content == text
        self.is_taken({name: text})

    def _update(self, faults: list[Fault]) -> None:
        (memory,) = self.owner.vault.list()
        text = f"changed {os.urandom(4).hex()}"
        told = self.tried(faults, lambda: self.access.update(memory.id, content=text))
        assert self.waiting() in ([{memory.id: text}] if told else [{}, {memory.id: text}])
        if self.access.get(memory.id).content != text:
            assert not told
            self.access.update(memory.id, content=text)
        self.is_taken({memory.id: text})
        assert self.owner.vault.get(memory.id).version == 2

    def _create_many(self, faults: list[Fault]) -> None:
        texts = {named(): f"many {number}" for number in range(BATCH)}
        new = [NewMemory(Fields(content=text), memory_id=name) for name, text in texts.items()]
        parts: list[Texts] = [dict(list(texts.items())[:count]) for count in (0, 2, BATCH)]
        told = self.tried(faults, lambda: self.access.remember_many(new))
        assert self.waiting() in (parts[-1:] if told else parts)
        assert [memory.id for memory in self.access.remember_many(new)] == list(texts)
        self.is_taken(texts)

    def waiting(self) -> Texts:
        """What waits for the owner, each once; and it is what the app has of its own."""
        vault: Vault = self.owner.vault
        vault.sync()
        items = [(item.memory_id, item.proposed) for item in vault.pending()]
        found = {name: proposed.content for name, proposed in items if proposed is not None}
        assert len(found) == len(items)
        assert found == shown(self.access)
        return found

    def is_taken(self, texts: Texts) -> None:
        """This and nothing else waits; the owner accepts it, and it is there once."""
        assert self.waiting() == texts
        vault: Vault = self.owner.vault
        for name in texts:
            vault.accept(name)
        assert not self.waiting()
        assert {name: vault.get(name).content for name in texts} == texts
        assert vault.check() == 0


def shown(access: Access) -> Texts:
    """What an app is shown of its own that the owner has not decided about."""
    found = access.memories()
    return {
        memory.id: memory.content for memory in found if memory.review.status == "pending_review"
    }


@pytest.mark.parametrize("tries", [1, 4])
def test_an_app_that_writes_through_a_bad_proxy(world: World, proxy: Proxy, tries: int) -> None:
    """Whatever befalls which exchange, what it says is what waits; called again, it is all there.

    Nothing is there twice, and where it may try again, nothing of it is told at all.
    """
    writing = Writing(world, proxy, proxy.transport())
    with patch("coffret.transport._TRIES", tries), QUICK, IN_PAIRS:
        for fault, clean in product(FAULTS, range(2)):
            writing.round([*[Fault()] * clean, fault])
    assert writing.failed > 20 if tries == 1 else writing.failed == 0
    assert proxy.exchanges > 200


def test_an_asynchronous_app_that_writes_through_a_bad_proxy(
    coffret_url: str, tmp_path: Path, proxy: Proxy
) -> None:
    """The same with asyncio, in both directions."""
    with World(coffret_url, tmp_path, FACES["async"]()) as world:
        writing = Writing(world, proxy, proxy.async_transport())
        faults = [Fault(request=0.5), Fault(answer=0.5), Fault(twice=True), Fault(late=True)]
        for tries in (1, 4):
            writing.failed = 0
            with patch("coffret.transport._TRIES", tries), QUICK, IN_PAIRS:
                for fault, clean in product(faults, range(2)):
                    writing.round([*[Fault()] * clean, fault])
            assert (writing.failed > 0) is (tries == 1)
