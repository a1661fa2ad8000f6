"""A loop on whose clock only waiting takes time: what a busy machine stands still is no delay."""

from __future__ import annotations

import asyncio
import functools
import selectors
import time
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")


class _Waiting(selectors.DefaultSelector):
    """Counts what it waited, and never more than it was to wait."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As any; the loop waits nowhere else."""
        began = time.monotonic()
        found = super().select(timeout)
        passed = time.monotonic() - began
        self.waited += passed if timeout is None else min(passed, max(timeout, 0.0))
        return found


class _Loop(asyncio.SelectorEventLoop):
    """What is due first comes first, however late both are."""

    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        """Seconds."""
        return self._waiting.waited


def unhurried(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test on such a loop."""

    @functools.wraps(test)
    def run(*args: P.args, **named: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(test(*args, **named))

    return run
