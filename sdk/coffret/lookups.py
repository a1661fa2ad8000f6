"""Look names up for no longer than somebody is ready to wait.

What a machine's resolver does cannot be stopped: it may ask one silent server after another for
minutes. So it runs in a thread that its caller leaves behind; a few of them at a time, no more, and
none of them keeps the program from ending.
"""

from __future__ import annotations

from concurrent.futures import Future
from threading import BoundedSemaphore, Thread
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

from coffret_vault.errors import CoffretError, TimedOutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
_MOST = 4
"""Lookups under way at once; who comes next waits for one of them to end."""


class Lookups(Generic[T]):
    """Looks up the addresses of hosts."""

    def __init__(self, addresses: Callable[[str], Iterable[T]]) -> None:
        """Ask ``addresses``, which takes as long as it likes."""
        self._addresses = addresses
        self._free = BoundedSemaphore(_MOST)

    def __call__(self, host: str, seconds: float) -> list[T]:
        """A host's addresses.

        Raises:
            TimedOutError: not within so many seconds.
            OSError: there is no thread to do it in; and what the resolver says.
        """
        end = monotonic() + seconds
        if not self._free.acquire(timeout=seconds):
            raise TimedOutError
        found: Future[list[T]] = Future()
        thread = Thread(target=self._look_up, args=(host, found), name="coffret-name", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the program ends, or has as many threads as it may
            self._free.release()
            raise OSError from None
        try:
            return found.result(max(0.0, end - monotonic()))
        except TimeoutError:
            raise TimedOutError from None

    def _look_up(self, host: str, found: Future[list[T]]) -> None:
        try:
            found.set_result(list(self._addresses(host)))
        except (CoffretError, OSError, UnicodeError) as error:
            found.set_exception(error)
        finally:
            self._free.release()
