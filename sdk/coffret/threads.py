"""Work in a thread that is waited for, whatever happens to who waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

T = TypeVar("T")


async def in_thread(work: Callable[..., T], *given: object) -> T:
    """Do work in a thread; who is cancelled meanwhile is so when it is done.

    Nothing can stop a thread: to go on without it would be to work beside it.
    """
    task = asyncio.create_task(asyncio.to_thread(work, *given))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])  # not shield(), which complains of what fails unheard
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    unheard(task)  # the caller does not hear of it
    raise cancelled


def unheard(task: asyncio.Task[Any]) -> None:
    """Have asyncio not complain of what befell a task where nobody hears of it."""
    if not task.cancelled():
        task.exception()


def discard(coming: Future[Any]) -> None:
    """Close what came from a thread when nobody wanted it any more."""
    if coming.exception() is None:
        coming.result().close()
