"""What one caller may have under way at once, so that it is never all that there is.

A database has so many connections and a process so much memory. Calls of one account or app are
worked on a few at a time; some more wait, and the rest is told to come again. Of those that wait
each device, or each API key, has its turn: one that is in other hands keeps its owner's others from
nothing, least of all from ending it. What is kept of a caller here while it comes, or until it is
taken, has a bound as well: a body or an answer may have 32 MiB, and a bad network may take its time
with it. So has what is kept of all callers; the more there are, the less may each have of it.
"""

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from coffret_server.problems import ProblemError

AT_ONCE: Final = 4
"""Of sixteen connections to a database."""
WAITING: Final = 256
WAITING_OF_ALL: Final = 2_048
PAGES_AT_ONCE: Final = 4
"""Of all callers: one processor makes them, and more at once only keep everything else waiting."""
_PAGES: Final = re.compile(
    r"/api/v1/(sync|log|tags|memory-blobs|memory-blobs/[^/]+/versions|access-requests|grants"
    r"|grants/[^/]+/(wraps|records)|accounts/me/(memory-keys|server-view))"
)
_MOST: Final = 10_000
ROOM: Final = 256 * 1024 * 1024
_RETRY_SECONDS: Final = 1


def _refuse() -> ProblemError:
    code, detail = "rate-limited", "too much of yours is under way, wait and try again"
    return ProblemError(code, detail, retry_after=_RETRY_SECONDS)


async def _given(
    place: "asyncio.Future[None]", give_up: Callable[[], None], pass_on: Callable[[], None]
) -> None:
    """Wait for a turn; who is gone before it comes gives the place up, or the turn that it got."""
    try:
        await place
    except BaseException:
        if place.cancelled():
            give_up()
        else:
            pass_on()
        raise


class _Line:
    """The calls of one caller: how many are worked on, and who waits, by the way they came."""

    def __init__(self) -> None:
        self.under_way = 0
        self.waiting = 0
        self.ways: dict[object, deque[asyncio.Future[None]]] = {}

    def join(self, way: object) -> "asyncio.Future[None]":
        """Wait behind those that came the same way."""
        if len(self.ways.get(way, ())) >= WAITING or self.waiting >= WAITING_OF_ALL:
            raise _refuse()
        found = asyncio.get_running_loop().create_future()
        self.ways.setdefault(way, deque()).append(found)
        self.waiting += 1
        return found

    def give_up(self, way: object, place: "asyncio.Future[None]") -> None:
        """Wait no more."""
        if place in self.ways.get(way, ()):
            self.ways[way].remove(place)
            self._left(way)

    def next(self) -> "asyncio.Future[None] | None":
        """Who waited longest of those of the way whose turn it is."""
        if not self.ways:
            return None
        way = next(iter(self.ways))
        waiting = self.ways.pop(way)
        found = waiting.popleft()
        self.ways[way] = waiting  # the other ways come first now
        self._left(way)
        return found

    def _left(self, way: object) -> None:
        self.waiting -= 1
        if not self.ways[way]:
            del self.ways[way]


class Turns:
    """So many calls of each caller are worked on at once, and so many more wait."""

    def __init__(self) -> None:
        self._lines: dict[object, _Line] = {}

    async def enter(self, caller: object, way: object = None) -> bool:
        """Wait for a turn, which `leave` ends; whether it took any waiting.

        Args:
            caller: the account or the app.
            way: the session or the API key that it comes with.

        Raises:
            ProblemError: `rate-limited`, where too many wait already.
        """
        line = self._lines.setdefault(caller, _Line())
        if line.under_way < AT_ONCE:
            line.under_way += 1
            return False
        place = line.join(way)
        await _given(place, lambda: line.give_up(way, place), lambda: self.leave(caller))
        return True

    @asynccontextmanager
    async def at(self, what: str, owner: bytes, way: object) -> AsyncIterator[None]:
        """A turn among the apps that change what is an owner's.

        The database lets one after the other, and behind a change of keys nobody for minutes. Each
        that waits there has a connection, and of apps there are as many as anybody makes.

        Args:
            what: that is changed: any app may ask, and keeps none from writing that was granted it.
            owner: the account that it is about.
            way: the API key that it comes with.

        Raises:
            ProblemError: `rate-limited`, where too many wait already.
        """
        place = (what, owner)
        await self.enter(place, way)
        try:
            yield
        finally:
            self.leave(place)

    def leave(self, caller: object) -> None:
        """End a turn: it is the next one's, where somebody waits."""
        line = self._lines[caller]
        following = line.next()
        while following is not None and following.done():
            following = line.next()
        if following is not None:
            following.set_result(None)
            return
        line.under_way -= 1
        if not line.under_way:
            del self._lines[caller]


def is_page(method: str, path: str) -> bool:
    """Whether a call reads as much as there is, up to what one answer may have."""
    return method == "GET" and _PAGES.fullmatch(path) is not None


class Pages:
    """So many pages are made at once, for all callers together.

    Who waits comes in the order of what was done for each of late: somebody who reads now and then
    waits for one page of those who read all the time, however many these are.
    """

    def __init__(self) -> None:
        self._under_way = 0
        self._waiting: dict[object, deque[asyncio.Future[None]]] = {}
        self._used: dict[object, float] = {}
        self._least = 0.0  # seconds: what whoever comes anew is taken to have used

    async def enter(self, caller: object) -> bool:
        """Wait for a turn, which `leave` ends; whether it took any waiting."""
        if self._under_way < PAGES_AT_ONCE:
            self._under_way += 1
            return False
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(place)
        await _given(place, lambda: self._give_up(caller, place), self._next)
        return True

    def leave(self, caller: object, seconds: float) -> None:
        """End a turn that took so long."""
        self._used[caller] = self._has_used(caller) + seconds
        if len(self._used) > _MOST:
            self._forget()
        self._next()

    def _forget(self) -> None:
        """Keep half of the callers, for whom most was done: the others have used the same then.

        Where something is under way all the time and nobody waits, nothing else forgets any.
        """
        self._least = max(self._least, sorted(self._used.values())[len(self._used) // 2])
        self._used = {each: used for each, used in self._used.items() if used > self._least}

    def _has_used(self, caller: object) -> float:
        return max(self._used.get(caller, 0.0), self._least)

    def _next(self) -> None:
        while self._waiting:
            caller = min(self._waiting, key=lambda each: (self._has_used(each), each in self._used))
            self._least = self._has_used(caller)
            line = self._waiting.pop(caller)
            place = line.popleft()
            if line:
                self._waiting[caller] = line  # of those who used as much, the others come first now
            if not place.done():
                place.set_result(None)
                return
        self._under_way -= 1
        if not self._under_way:
            self._used.clear()
            self._least = 0.0

    def _give_up(self, caller: object, place: "asyncio.Future[None]") -> None:
        if place in self._waiting.get(caller, ()):
            self._waiting[caller].remove(place)
            if not self._waiting[caller]:
                del self._waiting[caller]


now: Final = time.perf_counter
"""What turns are measured by."""


class Room:
    """So many bytes of each caller, and of all of them, are in memory at once."""

    def __init__(self, most: int) -> None:
        """Have room for `most` bytes of all callers together."""
        self._most = most
        self._all = 0
        self._taken: Counter[object] = Counter()

    def take(self, caller: object, size: int) -> None:
        """Take room for bytes, which `give_back` gives back.

        No caller may have more than is left beside all: of many that take whatever they get, each
        has as much as whoever comes next, and there is always something left.

        Raises:
            ProblemError: `rate-limited`, where there is not as much.
        """
        wanted = self._taken[caller] + size
        if wanted > min(ROOM, self._most - self._all):
            raise _refuse()
        self._taken[caller] = wanted
        self._all += size

    def give_back(self, caller: object, size: int) -> None:
        """Give room back."""
        self._all -= size
        self._taken[caller] -= size
        if not self._taken[caller]:
            del self._taken[caller]
