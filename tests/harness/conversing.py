"""Conversations with a server that are recorded once, and replayed with one answer altered.

Randomness and the clock are the same each time, so that an honest replay is the recording again.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from hashlib import shake_256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import pytest

from coffret import App, Vault
from coffret_vault.errors import CoffretError, CredentialsError
from harness.mutation import mutations
from harness.tape import Exchange, Replay, Taping
from harness.world import PASSPHRASE, World, ambient, embedder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FrameType

    import httpx

    from coffret.flows.state import Ambient
    from harness.world import Owner

    Act = Callable[["Device"], Any]

_WORD = (
    # Which memories a grant holds is signed by nobody: a server can withhold one from an app.
    ("/grants/[^/]+/records", r"1\.\d+", "left out|a neighbour's"),
    # Nor is how the key of what an app proposed is wrapped: it looks like an app's bad sealing.
    # The third version is the one that an app proposed.
    ("/memory-blobs/[^/]+/versions", r"2\.0\.[23]", ".*"),
    # Whether it took a change: one that it dropped is missed at the next sync (attack 56).
    (
        "/grants/[^/]+/state",
        "",
        "status (20[014]|401)|problem (wrong-credentials|unauthenticated)( once)?",
    ),
    # Which version is newest: others' proposals count too, and are not shown to an app.
    ("/grants/[^/]+/memory-blobs", "", "problem newer"),
)
"""What is the server's word and nobody else's: path of the request, place in the answer, how."""
ANOTHER = "another"
"""The passphrase that takes the place of the first."""
_CALLERS = 4
_seeds = count(1)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


class Device(NamedTuple):
    """A folder of its own, the network, and randomness and time that repeat."""

    folder: Path
    network: httpx.BaseTransport
    ambient: Ambient

    def around(self) -> dict[str, Any]:
        """The keyword arguments that everything here is made with."""
        return {"ambient": self.ambient, "embedder": embedder, "transport": self.network}


class _Drawn:
    """Randomness that repeats for each place in the code that draws it.

    So a client that has to log in once more, or to prove once more, draws what it would have drawn
    for all else.
    """

    def __init__(self, seed: int) -> None:
        self._seed, self._times = seed, Counter[str]()

    def __call__(self, size: int) -> bytes:
        names: list[str] = []
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and len(names) < _CALLERS:
            names.append(frame.f_code.co_qualname)
            frame = frame.f_back
        place = " ".join(names)
        self._times[place] += 1
        return shake_256(f"{self._seed} {place} {self._times[place]}".encode()).digest(size)


class Variant(NamedTuple):
    """An exchange that is told otherwise: where in the answer, how, and the whole of it."""

    where: str
    how: str
    instead: Exchange


class Scenario:
    """A conversation, told from the same beginning each time."""

    def __init__(
        self,
        world: World,
        base: Path,
        act: Act,
        *,
        owner: Owner | None = None,
        kits: Sequence[str] = (),
        server: httpx.BaseTransport | None = None,
    ) -> None:
        """``act`` holds the conversation on a copy of the folder ``base``, and tells what came.

        Args:
            world: where it is held.
            base: what it begins from.
            act: what is done.
            owner: whose device is in that folder, if one is.
            kits: Secret Keys that were made for them meanwhile.
            server: answers while it is recorded; the real one unless given.
        """
        self._world, self._base, self._act, self._owner = world, base, act, owner
        self._kits = kits
        self._now, self._seed = world.clock.now(), next(_seeds)
        taping = Taping(server)
        self.honest = self._run(taping)
        self.tape = taping.tape
        self._before = self._holding(base)
        self.slept: list[float] = []
        """For how many seconds it waited, each time that it did."""

    def _run(
        self,
        network: httpx.BaseTransport,
        *,
        keeping: bool = False,
        damage: Callable[[Path], None] = lambda _: None,
    ) -> Any:
        """What comes of the conversation, in a new copy of the folder, to which ``damage`` is done.

        With ``keeping``, all that was in that folder has to be there still where it failed.
        """
        around = ambient(self._world.clock)
        drawn = _Drawn(self._seed)
        fixed = type(around)(drawn, lambda: self._now, around.limits, around.web)
        with tempfile.TemporaryDirectory(dir=self._world.folder) as made:
            copy = Path(made) / "copy"
            shutil.copytree(self._base, copy)
            damage(copy)
            try:
                return self._act(Device(copy, network, fixed))
            except CoffretError:
                assert not keeping or self._before <= self._holding(copy), "something is lost"
                raise

    def _holding(self, folder: Path) -> set[str]:
        """The memories on the device in a folder, or what the app there has asked for."""
        around = Device(folder, Replay([]), ambient(self._world.clock)).around()
        if self._owner is not None:
            with Vault.open(folder, **around) as vault:
                _unlock(vault, [self._owner.secret_key, *self._kits])
                assert vault.check() == 0, "something is damaged"
                return {memory.id for memory in vault.list()}
        if (folder / "app.json").exists():
            with App.load(folder / "app.json", **around) as app:
                return set(app.requests())
        return set()

    def sweep(self, tally: Counter[str], others: tuple[list[Exchange], ...] = ()) -> list[str]:
        """Carry out every mutation of what is said; what was accepted, as lines for people."""

        def every(place: int, exchange: Exchange) -> Iterator[Variant]:
            strangers = tuple(found for tape in others if (found := _like(self.tape, place, tape)))
            for mutation in mutations(exchange.decoded, strangers):
                where = ".".join(map(str, mutation.path))
                content = exchange.encoded(mutation.answer)
                yield Variant(where, mutation.how, exchange._replace(content=content))

        return self.vary(tally, every)

    @property
    def base(self) -> Path:
        """The folder that it begins from."""
        return self._base

    def vary(
        self,
        tally: Counter[str],
        variants: Callable[[int, Exchange], Iterable[Variant]],
        network: type[Replay] = Replay,
        *,
        keeping: bool = False,
    ) -> list[str]:
        """Hold it once with each variant of each answer; what was accepted, as lines for people.

        Args:
            tally: counts.
            variants: gives them, for the exchange at a place of the tape.
            network: what replays.
            keeping: see to it as well that a failure takes nothing from the folder.
        """
        assert self._run(network(self.tape)) == self.honest
        accepted = []
        for place, exchange in enumerate(self.tape):
            for where, how, instead in variants(place, exchange):
                if instead == exchange:
                    continue
                tally["answers"] += 1
                if self._believed(network(self.tape, place, instead), tally, keeping=keeping):
                    if _is_its_word(exchange, where, how):
                        tally["the server's word"] += 1
                        continue
                    accepted.append(f"{exchange.method} {exchange.target} {where}: {how}")
        return accepted

    def damaged(
        self, tally: Counter[str], damages: Iterable[tuple[str, Callable[[Path], None]]]
    ) -> list[str]:
        """Hold it with an honest server from a folder to which each damage was done.

        Returns:
            After which another result came of it, without an error.
        """
        believed = []
        for what, damage in damages:
            tally["damages"] += 1
            try:
                if self._run(Replay(self.tape), damage=damage) != self.honest:
                    believed.append(what)
            except CoffretError:
                tally["refused"] += 1
        return believed

    def _believed(self, network: Replay, tally: Counter[str], *, keeping: bool) -> bool:
        """Whether something else than the honest result came of it without an error."""
        try:
            with patch("coffret.transport.sleep", self.slept.append):
                return bool(self._run(network, keeping=keeping) != self.honest)
        except CoffretError:
            tally["refused"] += 1
            return False
        finally:
            assert network.was_asked


def _unlock(vault: Vault, secret_keys: Sequence[str]) -> None:
    """By what opened the device before, or what was to open it: it depends on how far it came."""
    for secret_key in secret_keys:
        for passphrase in (PASSPHRASE, ANOTHER):
            with suppress(CredentialsError):
                vault.unlock(passphrase, secret_key)
                return
    pytest.fail("nothing opens the device any more")


def _is_its_word(exchange: Exchange, where: str, how: str) -> bool:
    said = (exchange.target.partition("?")[0], where, how)
    return any(all(map(re.fullmatch, patterns, said)) for patterns in _WORD)


def _like(tape: list[Exchange], place: int, other: list[Exchange]) -> Any:
    """What the other conversation was answered at the same point, if it has one."""

    def kinds(exchanges: list[Exchange]) -> list[tuple[str, str]]:
        return [(item.method, _ID.sub("*", item.target.partition("?")[0])) for item in exchanges]

    ours, theirs = kinds(tape), kinds(other)
    turn = ours[:place].count(ours[place])
    same = [item for item, kind in zip(other, theirs, strict=True) if kind == ours[place]]
    return same[turn].decoded() if turn < len(same) else None
