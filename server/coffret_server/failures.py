"""Failed logins, counted in the database: all processes of a server share the count.

Three counts, each refilled one by one as the seconds say. That of one account from one address is
the narrow one. That of an address is wider, since many people may share one. That of an account,
from wherever, is the widest. The wider two do not hold for an account at an address from which its
owner is logged in: whoever fails on purpose, from however many addresses or at however many names,
keeps nobody out of where they are known. Only who fails at that very account from that very address
makes its owner wait there, for a minute a try.
What is counted says nothing of who exists: an account that does not is counted like one that does.
"""

import hmac
from typing import Final

import msgspec

from coffret_server.problems import ProblemError
from coffret_server.storage import Tx

SECOND: Final = 1_000_000
_SUBJECT_SIZE: Final = 16
_FIND: Final = "SELECT whole FROM login_failures WHERE subject = ?"
_IS_KNOWN: Final = (
    "SELECT 1 FROM sessions WHERE account_id = ? AND network = ? AND expires > ? LIMIT 1"
)
"""Answered by an index alone: no row of a session is read, which only who exists has."""
_ADD: Final = (
    "INSERT INTO login_failures (subject, whole) VALUES (?, ?) ON CONFLICT (subject) DO UPDATE"
    " SET whole = CASE WHEN login_failures.whole BETWEEN ? AND ?"
    " THEN login_failures.whole ELSE ? END + ? RETURNING whole"
)
_TAKE_BACK: Final = "UPDATE login_failures SET whole = whole - ? WHERE subject = ?"


class _Count(msgspec.Struct, frozen=True):
    """So many failures at once, and one more each `refill` µs."""

    subject: bytes
    most: int
    refill: int

    def farthest(self, now: int) -> int:
        """What no count is behind, by any clock that is nearly right.

        One that is, was made while ours was ahead, by a login that failed or by one that did not:
        it must keep nobody out for as long as that was.
        """
        return now + 2 * self.most * self.refill


class Attempt(msgspec.Struct, frozen=True):
    """Somebody's try to log in, and what it is counted under."""

    account: bytes
    network: str
    pair: _Count
    place: _Count
    target: _Count

    def of_account(self) -> tuple[bytes, bytes]:
        """What is counted of the account: from this network, and from wherever."""
        return self.pair.subject, self.target.subject


def attempt(key: bytes, account: bytes, network: str, most: int) -> Attempt:
    """A try to log in.

    Args:
        key: a secret of the server: what is kept does not show addresses.
        account: the account that is said.
        network: where it comes from: the part of the address that is one subscriber's.
        most: failures at once of an account from a network.
    """

    def count(kind: bytes, what: bytes, times: int, refill: int) -> _Count:
        subject = hmac.digest(key, b"failures/" + kind + b"\0" + what, "sha256")[:_SUBJECT_SIZE]
        return _Count(subject, most * times, refill * SECOND)

    place = network.encode()
    return Attempt(
        account,
        network,
        pair=count(b"pair", account + place, 1, 60),
        place=count(b"place", place, 5, 12),
        target=count(b"target", account, 10, 36),
    )


async def check(tx: Tx, tried: Attempt, now: int) -> None:
    """Let a try be made, if not too many have failed: a look, before `count` makes it sure.

    Raises:
        ProblemError: `rate-limited`, with the seconds to wait.
    """
    wholes = {}
    for item in (tried.pair, tried.place, tried.target):
        row = await tx.one(_FIND, item.subject)
        whole, farthest = now if row is None else int(row[0]), item.farthest(now)
        wholes[item] = whole if now <= whole <= farthest else now
    await _limit(tx, tried, {item: whole + item.refill for item, whole in wholes.items()}, now)


async def count(tx: Tx, tried: Attempt, now: int) -> None:
    """Count a try as failed, so that of those made at the same time no more pass than may.

    The rows stay locked until the transaction ends; `take_back` undoes it there.

    Raises:
        ProblemError: as `check`; the transaction must not be kept.
    """
    wholes = {}
    for item in sorted((tried.pair, tried.place, tried.target), key=lambda item: item.subject):
        fresh, span = now + item.refill, (now, item.farthest(now))
        row = await tx.one(_ADD, item.subject, fresh, *span, now, item.refill)
        wholes[item] = int(row[0]) if row else now
    await _limit(tx, tried, wholes, now)


async def take_back(tx: Tx, tried: Attempt) -> None:
    """Do not count a try that was right after all."""
    for item in (tried.pair, tried.place, tried.target):
        await tx.run(_TAKE_BACK, item.refill, item.subject)


async def _limit(tx: Tx, tried: Attempt, wholes: dict[_Count, int], now: int) -> None:
    """Refuse a try with which some count would be whole again too late."""
    known = await tx.one(_IS_KNOWN, tried.account, tried.network, now)
    wait = 0
    for item, whole in wholes.items():
        if not known or item is tried.pair:
            wait = max(wait, whole - now - item.most * item.refill)
    if wait > 0:
        code = "rate-limited"
        seconds = -(-wait // SECOND)
        raise ProblemError(code, "too many logins failed, wait and try again", retry_after=seconds)
