"""What one caller may have under way at once, so that it is never all that there is.

A database has so many connections and a process so much memory. Calls of one account or app are
worked on a few at a time; some more wait, in order, and the rest is told to come again. What of it
is kept here while it comes, or until it is taken, has a bound as well: a body or an answer may have
32 MiB, and a bad network may take its time with it.
"""

import asyncio
from collections import Counter
from typing import Final

from coffret_server.problems import ProblemError

AT_ONCE: Final = 4
"""Of sixteen connections to a database."""
WAITING: Final = 256
ROOM: Final = 256 * 1024 * 1024
_RETRY_SECONDS: Final = 1


def _refuse() -> ProblemError:
    code, detail = "rate-limited", "too much of yours is under way, wait and try again"
    return ProblemError(code, detail, retry_after=_RETRY_SECONDS)


class Turns:
    """So many calls of each caller are worked on at once, and so many more wait."""

    def __init__(self) -> None:
        self._under_way: Counter[object] = Counter()
        self._places: dict[object, asyncio.Semaphore] = {}

    async def enter(self, caller: object) -> bool:
        """Wait for a turn, which `leave` ends; whether it took any waiting.

        Raises:
            ProblemError: `rate-limited`, where too many wait already.
        """
        if self._under_way[caller] >= AT_ONCE + WAITING:
            raise _refuse()
        places = self._places.setdefault(caller, asyncio.Semaphore(AT_ONCE))
        waits = places.locked()
        self._under_way[caller] += 1
        try:
            await places.acquire()
        except BaseException:
            self._forget(caller)
            raise
        return waits

    def leave(self, caller: object) -> None:
        """End a turn."""
        self._places[caller].release()
        self._forget(caller)

    def _forget(self, caller: object) -> None:
        self._under_way[caller] -= 1
        if not self._under_way[caller]:
            del self._under_way[caller], self._places[caller]


class Room:
    """So many bytes of each caller are in memory at once."""

    def __init__(self) -> None:
        self._taken: Counter[object] = Counter()

    def take(self, caller: object, size: int) -> None:
        """Take room for bytes, which `give_back` gives back.

        Raises:
            ProblemError: `rate-limited`, where there is not as much.
        """
        if self._taken[caller] + size > ROOM:
            raise _refuse()
        self._taken[caller] += size

    def give_back(self, caller: object, size: int) -> None:
        """Give room back."""
        self._taken[caller] -= size
        if not self._taken[caller]:
            del self._taken[caller]
