"""Work in threads: beside who goes on, or waited for whatever happens to who waits.

Where no thread can be had, since the program ends or has as many as it may, work is done in the one
that there is: so a thread that outlives the program's main thread goes on.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def beside(work: Callable[..., T], *given: object) -> Future[T]:
    """Begin work in a thread of its own, which keeps no program from ending."""
    return _begun(partial(work, *given), keeps=False)


async def apart(work: Callable[..., T], *given: object) -> T:
    """Do work in a thread; who is cancelled meanwhile leaves it behind."""
    return await asyncio.wrap_future(_begun(partial(work, *given)))


async def in_thread(work: Callable[..., T], *given: object) -> T:
    """Do work in a thread; who is cancelled meanwhile is so when it is done.

    Nothing can stop a thread: to go on without it would be to work beside it.
    """
    done = asyncio.wrap_future(_begun(partial(work, *given)))
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait([done])  # not shield(), which complains of what fails unheard
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return done.result()
    unheard(done)  # the caller does not hear of it
    raise cancelled


def _begun(work: Callable[[], T], *, keeps: bool = True) -> Future[T]:
    """Begin work in a thread of its own, not a pool's: that would keep what it cannot begin."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()
    run = partial(copy_context().run, _fill, done, work)
    try:
        Thread(target=run, name="coffret-beside", daemon=not keeps).start()
    except RuntimeError:
        run()
    return done


def _fill(done: Future[T], work: Callable[[], T]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
        done.set_exception(error)


def unheard(task: asyncio.Future[Any]) -> None:
    """Have asyncio not complain of what befell a task where nobody hears of it."""
    if not task.cancelled():
        task.exception()


def discard(coming: Future[Any]) -> None:
    """Close what came from a thread when nobody wanted it any more."""
    if coming.exception() is None:
        coming.result().close()
