"""Rate limits: the generic cell rate algorithm, in the memory of one process.

A limit of `rate` a minute lets through a burst of as many, and then one each 60/rate seconds; some
limits are of a day. State is one number a caller, the time at which its allowance will be whole
again.
"""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Final

import msgspec

from coffret_server.problems import ProblemError

MINUTE: Final = 60.0
DAY: Final = 86_400.0
_CALLERS: Final = 100_000
_SUBSCRIBER: Final = 64
"""Bits of an IPv6 address that are one subscriber's network (RFC 6177): the rest is theirs."""


class Allowance(msgspec.Struct, frozen=True, gc=False):
    """What is left of a limit: requests now, and seconds until it is whole."""

    policy: str
    rate: int
    left: int
    reset: int
    window: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """`RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers)."""
        return [
            (
                b"ratelimit-policy",
                b'"%b";q=%d;w=%d' % (self.policy.encode(), self.rate, self.window),
            ),
            (b"ratelimit", b'"%b";r=%d;t=%d' % (self.policy.encode(), self.left, self.reset)),
        ]


class Limiter:
    """One limit over many callers."""

    def __init__(
        self,
        policy: str,
        rate: int,
        monotonic: Callable[[], float],
        window: float = MINUTE,
    ) -> None:
        self._policy = policy
        self._rate = rate
        self._window = window
        self._step = window / rate
        self._monotonic = monotonic
        self._whole: dict[object, float] = {}

    def check(self, caller: object) -> None:
        """Whether a request of theirs would be let through, without counting one.

        Raises:
            ProblemError: as `take`.
        """
        self._next(caller, self._monotonic())

    def take(self, caller: object) -> Allowance:
        """Count one request.

        Raises:
            ProblemError: `rate-limited`, with the seconds to wait.
        """
        now = self._monotonic()
        whole = self._next(caller, now)
        if len(self._whole) >= _CALLERS and caller not in self._whole:
            self._forget(now)
        self._whole[caller] = whole
        left = int((self._window - (whole - now)) / self._step + 0.5)
        reset, window = int(whole - now) + 1, int(self._window)
        return Allowance(self._policy, self._rate, max(left, 0), reset, window)

    def _next(self, caller: object, now: float) -> float:
        whole = max(self._whole.get(caller, now), now) + self._step
        if whole - now > self._window + self._step / 2:
            code, wait = "rate-limited", max(1, ceil(whole - now - self._window))
            raise ProblemError(code, "too many requests, wait and try again", retry_after=wait)
        return whole

    def _forget(self, now: float) -> None:
        """Drop the callers whose allowance is whole, and of the others the half that used least.

        So memory stays bounded, and nobody is forgotten who used their allowance up.
        """
        kept = [item for item in self._whole.items() if item[1] > now]
        kept.sort(key=lambda item: item[1])
        self._whole = dict(kept[max(0, len(kept) - _CALLERS // 2) :])


class AddressLimiter(Limiter):
    """One limit over addresses, each counted with all of its subscriber's."""

    def check(self, caller: object) -> None:
        """As for any caller."""
        super().check(network(str(caller)))

    def take(self, caller: object) -> Allowance:
        """As for any caller."""
        return super().take(network(str(caller)))


@lru_cache(maxsize=4_096)
def plain(address: str) -> str:
    """An address in one form: no brackets, port or zone, and IPv4 as such where it is in IPv6.

    What is no address stays as it is: it is some caller's, all the same.
    """
    host = address
    if address.startswith("["):
        host = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        host = address.partition(":")[0]
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return address
    return str(getattr(found, "ipv4_mapped", None) or found)


@lru_cache(maxsize=4_096)
def network(address: str) -> str:
    """The part of an address that is one subscriber's: an IPv6 /64, or the whole address."""
    address = plain(address)
    try:
        found = IPv6Address(address)
    except ValueError:
        return address
    return str(ip_network((int(found), _SUBSCRIBER), strict=False))
