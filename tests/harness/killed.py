"""An owner whose device is killed again and again, and what must be true each time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import pytest

from coffret import Vault
from coffret_vault.errors import CredentialsError
from harness.stops import KilledError, Stops
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from coffret import Access, App
    from harness.world import Owner, World

    Summary = tuple[tuple[str, ...], int, tuple[str, ...]]

MOST = 80
"""More moments than anything here has."""


def summary(vault: Vault) -> Summary:
    """What a device holds: the memories, how much waits, and how its grants stand."""
    contents = tuple(sorted(memory.content for memory in vault.list()))
    grants = tuple(sorted(grant.state for grant in vault.grants()))
    return contents, len(vault.pending()), grants


@dataclass
class Bench:
    """An owner with a device that is killed again and again, another device, and an app."""

    world: World
    owner: Owner
    stops: Stops
    vault: Vault
    other: Vault
    app: App
    access: Access
    passphrase: str = PASSPHRASE
    secret_key: str = ""
    kills: int = 0
    _images: Iterator[int] = field(default_factory=count)

    def reopened(self, image: Path) -> Vault:
        """The device as the kill left it."""
        vault: Vault = Vault.open(image, transport=self.stops, **self.world.around())
        return vault

    def kill(self, left: int, act: Callable[[Vault], object]) -> bool:
        """Do something and be killed after so many moments; whether it came to that."""
        image = self.world.folder / f"image-{next(self._images)}"
        try:
            with self.stops.watching(self.vault.folder, left, image):
                act(self.vault)
        except KilledError:
            self.kills += 1
            held = self.vault.held_keys()
            self.vault.close()
            self.stops = self._fresh_network()
            self.vault = self.reopened(image)
            with suppress(CredentialsError):  # the keys were changed by what was killed
                self.vault.unlock_held(held)
            return True
        return False

    def _fresh_network(self) -> Stops:
        """The same record of heads behind a connection of its own: the old one was closed."""
        fresh = Stops()
        fresh.heads = self.stops.heads
        return fresh


def benched(world: World) -> Bench:
    """Two memories, and a standing grant to an app that may do everything."""
    stops = Stops()
    owner = world.owner(transport=stops)
    app = world.app()
    owner.vault.remember("kept", tags=["t"])
    owner.vault.remember("kept as well")
    _, access = world.granted(owner, app, tags=["t"], standing=True, approve_standing=True)
    other = world.device(owner)
    return Bench(world, owner, stops, owner.vault, other, app, access, PASSPHRASE, owner.secret_key)


def sweep(
    bench: Bench,
    prepare: Callable[[], Callable[[Vault], object]],
    stages: Callable[[Summary], list[Summary]],
    finish: Callable[[], None] | None = None,
    steps: Iterable[int] = range(MOST),
) -> int:
    """Do something and be killed at its first moment, its second, … until it comes to its end.

    Args:
        bench: who does it.
        prepare: sets the scene, and gives what is to be done.
        stages: what the device may hold on the way there, given what it held before.
        finish: does again what was interrupted, where that is how it is finished.
        steps: the moments at which it is killed, one after another; every one unless given.

    Returns:
        The first of these that it did not come to.
    """
    for left in steps:
        act = prepare()
        killed = strike(bench, act, stages, left)
        if not killed:
            return left
        if finish is not None:
            finish()
            check_whole(bench)
    pytest.fail("it never came to its end")


def strike(
    bench: Bench,
    act: Callable[[Vault], object],
    stages: Callable[[Summary], list[Summary]],
    left: int,
) -> bool:
    """Do something, be killed after so many moments, and hold what is allowed; whether it was."""
    before = summary(bench.vault)
    allowed = [before, *stages(before)]
    killed = bench.kill(left, act)
    found = summary(bench.vault)
    assert found in allowed
    assert killed or found == allowed[-1]
    # What was sent may have come in; what came in never goes.
    assert check_whole(bench) in allowed[allowed.index(found) :]
    return killed


def check_whole(bench: Bench) -> Summary:
    """The next sync repairs: the device, another one and the log agree, and no head has a twin."""
    bench.vault.sync()
    bench.other.sync()
    found = summary(bench.vault)
    # That keys are being handed over is known to the device that does it, and to nobody else.
    shared = tuple(sorted(state.replace("activating", "active") for state in found[2]))
    assert (*found[:2], shared) == summary(bench.other)
    assert bench.vault.status().head == bench.other.status().head
    assert bench.vault.check() == 0
    assert not bench.stops.forks()
    return found


def contents(before: Summary, *, add: tuple[str, ...] = (), drop: tuple[str, ...] = ()) -> Summary:
    """With these memories more, and without those."""
    left = [content for content in before[0] if content not in drop]
    return tuple(sorted([*left, *add])), before[1], before[2]


def the(vault: Vault, content: str) -> str:
    """The id of a memory."""
    return next(memory.id for memory in vault.list() if memory.content == content)
