"""A moment in which no app writes into a log, so that its owner can.

An append of the owner's has to build on all that is there, and an app's writing need not: one that
never stops would always be there first, from a better network than the owner's. So when an append
came too late that built on what the owner had covered, or on more, apps are told to wait. Each
process does it by itself.
"""

from collections.abc import Callable
from math import ceil
from typing import Final

from coffret_server.problems import ProblemError

SECONDS: Final = 3.0
"""More than a device takes to read what is new, to sign and to send."""
_MOST: Final = 10_000


class Quiet:
    """Until when the logs of which accounts are left to their owners."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until: dict[bytes, float] = {}

    def begin(self, account: bytes) -> None:
        """The owner came too late; let them come again."""
        now = self._monotonic()
        if len(self._until) >= _MOST:
            self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[account] = now + SECONDS

    def check(self, account: bytes) -> None:
        """Refuse what an app writes meanwhile.

        Raises:
            ProblemError: `rate-limited`, with the seconds that are left.
        """
        left = self._until.get(account, 0.0) - self._monotonic()
        if left > 0:
            code, detail = "rate-limited", "the owner is writing, wait and try again"
            raise ProblemError(code, detail, retry_after=ceil(left))
