"""Wait for work that cannot be stopped no longer than somebody is ready to."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from coffret_vault.errors import NetworkError, TimedOutError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """What work gives or raises, if that is in time; else it is left behind, in its thread.

    That keeps no program from ending.

    Raises:
        TimedOutError: it is not done within so many seconds.
        NetworkError: there is no thread to do it in.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            done.set_exception(error)

    try:
        Thread(target=run, name="coffret-within", daemon=True).start()
    except RuntimeError:  # the program ends, or has as many threads as it may
        raise NetworkError from None
    try:
        return done.result(seconds)
    except TimeoutError:
        raise TimedOutError from None
