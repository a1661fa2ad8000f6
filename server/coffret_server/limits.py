"""Rate limits: the generic cell rate algorithm, in the memory of one process.

A limit of `rate` a minute lets through a burst of as many, and then one each 60/rate seconds. State
is one number a caller, the time at which its allowance will be whole again.
"""

from collections.abc import Callable
from math import ceil
from typing import Final

import msgspec

from coffret_server.problems import ProblemError

MINUTE: Final = 60.0
_CALLERS: Final = 100_000


class Allowance(msgspec.Struct, frozen=True, gc=False):
    """What is left of a limit: requests now, and seconds until it is whole."""

    policy: str
    rate: int
    left: int
    reset: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """`RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers)."""
        return [
            (b"ratelimit-policy", b'"%b";q=%d;w=60' % (self.policy.encode(), self.rate)),
            (b"ratelimit", b'"%b";r=%d;t=%d' % (self.policy.encode(), self.left, self.reset)),
        ]


class Limiter:
    """One limit over many callers."""

    def __init__(self, policy: str, rate: int, monotonic: Callable[[], float]) -> None:
        self._policy = policy
        self._rate = rate
        self._step = MINUTE / rate
        self._monotonic = monotonic
        self._whole: dict[object, float] = {}

    def take(self, caller: object) -> Allowance:
        """Count one request.

        Raises:
            ProblemError: `rate-limited`, with the seconds to wait.
        """
        now = self._monotonic()
        whole = max(self._whole.get(caller, now), now) + self._step
        if whole - now > MINUTE + self._step / 2:
            code, wait = "rate-limited", max(1, ceil(whole - now - MINUTE))
            raise ProblemError(code, "too many requests, wait and try again", retry_after=wait)
        if len(self._whole) >= _CALLERS and caller not in self._whole:
            self._forget(now)
        self._whole[caller] = whole
        left = int((MINUTE - (whole - now)) / self._step + 0.5)
        return Allowance(self._policy, self._rate, max(left, 0), int(whole - now) + 1)

    def _forget(self, now: float) -> None:
        """Drop the callers whose allowance is whole, or else all: memory stays bounded."""
        self._whole = {caller: whole for caller, whole in self._whole.items() if whole > now}
        if len(self._whole) >= _CALLERS:
            self._whole.clear()
