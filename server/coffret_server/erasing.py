"""What erases deleted accounts, beside everything else that a process does."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from coffret_server.departing import FIRST, Place, erase_some, next_left
from coffret_server.lines import places
from coffret_server.storage import Storage, Tx
from coffret_server.storage.tables import Tables
from coffret_server.storage.trouble import reason

ERRORS: Final = logging.getLogger("coffret_server.errors")
LOOK_EVERY: Final = 60.0
"""Seconds after which it is looked again whether there is something: another process may have
ended in the middle of it, or a full disk have been emptied."""
_REST: Final = 0.002
"""Seconds between two steps, which are everybody else's."""


class Eraser:
    """Erases what is left of deleted accounts, from the start of a process on."""

    def __init__(self, storage: Storage, clock: Callable[[], int], tables: Tables) -> None:
        """Wait to be started.

        Args:
            storage: the database.
            clock: µs since 1970.
            tables: whether it is ours.
        """
        self._tables = tables
        self._storage = storage
        self._clock = clock
        self._awake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with what a process before left."""
        self._task = asyncio.create_task(self._run(), name="coffret-eraser")

    def wake(self) -> None:
        """Look now: an account was deleted."""
        self._awake.set()

    async def close(self) -> None:
        """Stop where it is; what is left is found again."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            self._awake.clear()
            await self._erase_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):  # `wait_for` can swallow a cancellation
                    await self._awake.wait()

    async def _erase_all(self) -> None:
        """Erase whatever can be: what fails keeps no other account here, and is tried again."""
        failed, first = 0, None
        place, is_more = FIRST, True
        while is_more and self._tables.are_ours:
            step = _Step(place, self._clock())
            try:
                is_more = await self._storage.submit(step.run)
            except Exception as error:  # noqa: BLE001 - it is tried again, whatever it was
                failed, first = failed + 1, first or error
                is_more = step.at is not None  # else the database itself does not answer
                place = step.at or place
            await asyncio.sleep(_REST)
        if first is not None:
            _report(first, failed)


class _Step:
    """One transaction of erasing, and which account it came to."""

    def __init__(self, after: Place, now: int) -> None:
        self._after = after
        self._now = now
        self.at: Place | None = None

    async def run(self, tx: Tx) -> bool:
        """Erase a little of the next account; whether there was one."""
        self.at = await next_left(tx, self._after)
        if self.at is not None:
            await erase_some(tx, self.at.account, self._now)
        return self.at is not None


def _report(error: Exception, failed: int) -> None:
    """Log one line, by the first error's kind and place alone: a message may hold data."""
    line = {
        "erasing": "what is left of deleted accounts: it is tried again",
        "failed": failed,
        "error": type(error).__name__,
        "at": places(error.__traceback__),
        "reason": reason(error),
    }
    ERRORS.error(msgspec.json.encode(line).decode())
