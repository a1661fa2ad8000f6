"""Conversations with a server that are recorded once, and replayed with one answer altered.

Randomness and the clock are the same each time, so that an honest replay is the recording again.
"""

from __future__ import annotations

import random
import re
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from coffret_vault.errors import CoffretError
from harness.mutation import mutations
from harness.tape import Exchange, Replay, Taping
from harness.world import World, ambient, embedder

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    import httpx

    from coffret.flows.state import Ambient

    Act = Callable[["Device"], Any]

_WORD = (
    # Which memories a grant holds is signed by nobody: a server can withhold one from an app.
    ("/grants/[^/]+/records", r"1\.\d+", "left out|a neighbour's"),
    # Nor is how the key of what an app proposed is wrapped: it looks like an app's bad sealing.
    # The third version is the one that an app proposed.
    ("/memory-blobs/[^/]+/versions", r"2\.0\.[23]", ".*"),
)
"""What is the server's word and nobody else's: path of the request, place in the answer, how."""
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


class Scenario:
    """A conversation, told from the same beginning each time."""

    def __init__(self, world: World, base: Path, act: Act) -> None:
        """``act`` holds the conversation on a copy of the folder ``base``, and tells what came."""
        self._world, self._base, self._act = world, base, act
        self._now, self._seed = world.clock.now(), next(_seeds)
        taping = Taping()
        self.honest = self._run(taping)
        self.tape = taping.tape

    def _run(self, network: httpx.BaseTransport) -> Any:
        """What comes of the conversation, in a new copy of the folder."""
        around = ambient(self._world.clock)
        repeated = random.Random(self._seed).randbytes  # noqa: S311 - what is drawn is to repeat
        fixed = type(around)(repeated, lambda: self._now, around.limits, around.web)
        with tempfile.TemporaryDirectory(dir=self._world.folder) as made:
            copy = Path(made) / "copy"
            shutil.copytree(self._base, copy)
            return self._act(Device(copy, network, fixed))

    def sweep(self, tally: Counter[str], others: tuple[list[Exchange], ...] = ()) -> list[str]:
        """Carry out every mutation; what was accepted, as lines for people."""
        assert self._run(Replay(self.tape)) == self.honest
        accepted = []
        for place, exchange in enumerate(self.tape):
            strangers = tuple(found for tape in others if (found := _like(self.tape, place, tape)))
            for mutation in mutations(exchange.decoded, strangers):
                answer = exchange.encoded(mutation.answer)
                if answer == exchange.content:
                    continue
                tally["answers"] += 1
                where = ".".join(map(str, mutation.path))
                if self._believed(Replay(self.tape, place, answer), tally):
                    if _is_its_word(exchange.target, where, mutation.how):
                        tally["the server's word"] += 1
                        continue
                    accepted.append(f"{exchange.method} {exchange.target} {where}: {mutation.how}")
        return accepted

    def _believed(self, network: Replay, tally: Counter[str]) -> bool:
        """Whether something else than the honest result came of it without an error."""
        try:
            return bool(self._run(network) != self.honest)
        except CoffretError:
            tally["refused"] += 1
            return False
        finally:
            assert network.was_asked


def _is_its_word(target: str, where: str, how: str) -> bool:
    path = target.partition("?")[0]
    said = (path, where, how)
    return any(all(map(re.fullmatch, patterns, said)) for patterns in _WORD)


def _like(tape: list[Exchange], place: int, other: list[Exchange]) -> Any:
    """What the other conversation was answered at the same point, if it has one."""

    def kinds(exchanges: list[Exchange]) -> list[tuple[str, str]]:
        return [(item.method, _ID.sub("*", item.target.partition("?")[0])) for item in exchanges]

    ours, theirs = kinds(tape), kinds(other)
    turn = ours[:place].count(ours[place])
    same = [item for item, kind in zip(other, theirs, strict=True) if kind == ours[place]]
    return same[turn].decoded() if turn < len(same) else None
