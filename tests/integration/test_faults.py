"""A thousand writes that are killed, and a thousand that race: `make faults COUNT=1000`.

The ordinary run does a fraction of it, other faults each time the count is another.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from coffret import Fields, NewMemory
from harness.killed import Bench, benched, contents, strike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret import Vault
    from harness.killed import Summary
    from harness.world import World

    Act = Callable[[Vault], object]
    Stages = Callable[[Summary], list[Summary]]

COUNT = int(os.environ.get("COFFRET_FAULTS", "100"))
MOMENTS = 16
"""Most of what is done here has fewer moments at which it can be killed."""
MANY = 12
"""Memories; with more of them, every other thing that is done is to forget one."""


class Writing:
    """What the owner's device is killed at: each gives what to do, and what may be held then."""

    def __init__(self, bench: Bench, chance: random.Random) -> None:
        """Choose by ``chance``."""
        self.bench, self.chance = bench, chance
        self._texts = 0

    def prepared(self) -> tuple[str, Act, Stages]:
        """Set the scene for something, by name."""
        names = list(self._KINDS)
        if self.bench.vault.status().memories > MANY:
            names += ["forget"] * len(names)
        name = self.chance.choice(names)
        return name, *self._KINDS[name](self)

    def _text(self) -> str:
        self._texts += 1
        return f"text {self._texts}"

    def _picked(self) -> tuple[str, str]:
        memory = self.chance.choice(list(self.bench.vault.list()))
        return memory.id, memory.content

    def _remember(self) -> tuple[Act, Stages]:
        text, tags = self._text(), ["t"] * self.chance.randrange(2)
        return (
            lambda vault: vault.remember(text, tags=tags),
            lambda before: [contents(before, add=(text,))],
        )

    def _remember_many(self) -> tuple[Act, Stages]:
        texts = tuple(self._text() for _ in range(3))
        new = [NewMemory(Fields(content=text)) for text in texts]
        return (
            lambda vault: vault.remember_many(new),
            lambda before: [contents(before, add=texts)],
        )

    def _update(self) -> tuple[Act, Stages]:
        (memory_id, old), text = self._picked(), self._text()
        return (
            lambda vault: vault.update(memory_id, content=text),
            lambda before: [contents(before, add=(text,), drop=(old,))],
        )

    def _forget(self) -> tuple[Act, Stages]:
        memory_id, old = self._picked()
        return (
            lambda vault: vault.forget(memory_id),
            lambda before: [contents(before, drop=(old,))],
        )

    def _sync(self) -> tuple[Act, Stages]:
        text = self._text()
        self.bench.other.remember(text)
        return lambda vault: vault.sync(), lambda before: [contents(before, add=(text,))]

    def _proposed(self) -> tuple[str, str]:
        """What an app wrote and the device has read; the only thing that waits."""
        text = self._text()
        if self.bench.vault.grants()[0].state == "paused":
            self.bench.vault.resume(self.bench.vault.grants()[0].grant_id)
        self.bench.access.remember(text, tags=["t"])
        self.bench.vault.sync()
        return self.bench.vault.pending()[-1].memory_id, text

    def _accept(self) -> tuple[Act, Stages]:
        memory_id, text = self._proposed()

        def stages(before: Summary) -> list[Summary]:
            accepted = contents(before, add=(text,))
            return [accepted, (accepted[0], before[1] - 1, before[2])]

        return lambda vault: vault.accept(memory_id), stages

    def _reject(self) -> tuple[Act, Stages]:
        memory_id, _ = self._proposed()
        return (
            lambda vault: vault.reject(memory_id),
            lambda before: [(before[0], before[1] - 1, before[2])],
        )

    def _pause(self) -> tuple[Act, Stages]:
        grant = self.bench.vault.grants()[0]
        target = "paused" if grant.state == "active" else "active"

        def act(vault: Vault) -> None:
            (vault.pause if target == "paused" else vault.resume)(grant.grant_id)

        return act, lambda before: [(*before[:2], (target,))]

    _KINDS: ClassVar[dict[str, Callable[[Writing], tuple[Act, Stages]]]] = {
        "remember": _remember,
        "remember many": _remember_many,
        "update": _update,
        "forget": _forget,
        "sync": _sync,
        "accept": _accept,
        "reject": _reject,
        "pause or resume": _pause,
    }


@pytest.fixture
def bench(world: World) -> Iterator[Bench]:
    """Someone whose device is killed."""
    made = benched(world)
    yield made
    made.vault.close()


def test_killed_at_any_moment_of_many_writes(bench: Bench) -> None:
    """Each kill leaves what was or what was to be, and the next sync makes all devices agree."""
    writing = Writing(bench, random.Random(COUNT))  # noqa: S311 - chooses what and when
    kills: Counter[str] = Counter()
    while kills.total() < COUNT:
        name, act, stages = writing.prepared()
        folder = bench.vault.folder
        if strike(bench, act, stages, writing.chance.randrange(MOMENTS)):
            kills[name] += 1
            shutil.rmtree(folder)
    assert len(list(bench.world.device(bench.owner).list())) == bench.vault.status().memories
    print(f"\n{kills.total()} kills {dict(kills)}: nothing lost, nothing twice")  # noqa: T201 - the count


def test_two_devices_race(world: World) -> None:
    """Whatever two devices append at once is all there, in one order, on every device."""
    owner = world.owner()
    shared = owner.vault.remember("shared").id
    devices = [owner.vault, world.device(owner)]
    failed: list[BaseException] = []

    def race(vault: Vault, name: str) -> None:
        try:
            for number in range(COUNT // 2):
                if number % 5:
                    vault.remember(f"{name} {number}")
                else:
                    vault.update(shared, tags=[f"{name} {number}"])
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    threads = [threading.Thread(target=race, args=(devices[at], f"device {at}")) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    fresh = world.device(owner)
    names = [f"device {at} {number}" for at in range(2) for number in range(COUNT // 2)]
    changes = {name for name in names if int(name.split()[-1]) % 5 == 0}
    for vault in (*devices, fresh):
        vault.sync()
        written = {memory.content for memory in vault.list()}
        assert written == {"shared"} | set(names) - changes
        assert vault.status().head == fresh.status().head
    tags: list[Any] = [step.memory.tags for step in fresh.history(shared) if step.memory]
    assert sorted(tags) == sorted([(), *((name,) for name in changes)])
    print(f"\n{len(names)} appends by two devices at once: none lost")  # noqa: T201 - the count
