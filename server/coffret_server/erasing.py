"""What erases deleted accounts, beside everything else that a process does."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from coffret_server.departing import erase_some
from coffret_server.storage import Storage, Tx
from coffret_server.storage.trouble import reason

ERRORS: Final = logging.getLogger("coffret_server.errors")
LOOK_EVERY: Final = 60.0
"""Seconds after which it is looked again whether there is something: another process may have
ended in the middle of it, or a full disk have been emptied."""
_REST: Final = 0.002
"""Seconds between two steps, which are everybody else's."""


class Eraser:
    """Erases what is left of deleted accounts, from the start of a process on."""

    def __init__(self, storage: Storage, clock: Callable[[], int]) -> None:
        """Wait to be started.

        Args:
            storage: the database.
            clock: µs since 1970.
        """
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
            try:
                await self._erase_all()
            except Exception as error:  # noqa: BLE001 - it is tried again, whatever it was
                _report(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):  # `wait_for` can swallow a cancellation
                    await self._awake.wait()

    async def _erase_all(self) -> None:
        async def job(tx: Tx) -> bool:
            return await erase_some(tx, self._clock())

        is_more = True
        while is_more:
            is_more = await self._storage.submit(job)
            await asyncio.sleep(_REST)


def _report(error: Exception) -> None:
    """Log by its kind alone: a message may hold data."""
    line = {"erasing": "an account", "error": type(error).__name__, "reason": reason(error)}
    ERRORS.error(msgspec.json.encode(line).decode())
