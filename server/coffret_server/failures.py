"""Failed logins, counted in the database: all processes of a server share the count.

Three counts, each refilled one by one as the seconds say. That of one account from one address is
the narrow one. That of an address is wider, since many people may share one. That of an account,
from wherever, is the widest, and does not hold for an address from which its owner is logged in:
whoever fails on purpose, from however many addresses, keeps nobody out of where they are known.
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
    "SELECT 1 FROM sessions WHERE account_id = ? AND address = ? AND expires > ? LIMIT 1"
)
_ADD: Final = (
    "INSERT INTO login_failures (subject, whole) VALUES (?, ?) ON CONFLICT (subject) DO UPDATE"
    " SET whole = CASE WHEN login_failures.whole > ? THEN login_failures.whole ELSE ? END + ?"
)
_FORGET: Final = "DELETE FROM login_failures WHERE whole < ?"


class _Count(msgspec.Struct, frozen=True):
    """So many failures at once, and one more each `refill` µs."""

    subject: bytes
    most: int
    refill: int


class Attempt(msgspec.Struct, frozen=True):
    """Somebody's try to log in, and what it is counted under."""

    account: bytes
    address: str
    pair: _Count
    place: _Count
    target: _Count


def attempt(key: bytes, account: bytes, address: str, network: str, most: int) -> Attempt:
    """A try to log in.

    Args:
        key: a secret of the server: what is kept does not show addresses.
        account: the account that is said.
        address: where it comes from.
        network: the part of the address that is one subscriber's.
        most: failures at once of an account from a network.
    """

    def count(kind: bytes, what: bytes, times: int, refill: int) -> _Count:
        subject = hmac.digest(key, b"failures/" + kind + b"\0" + what, "sha256")[:_SUBJECT_SIZE]
        return _Count(subject, most * times, refill * SECOND)

    place = network.encode()
    return Attempt(
        account,
        address,
        pair=count(b"pair", account + place, 1, 60),
        place=count(b"place", place, 5, 12),
        target=count(b"target", account, 10, 36),
    )


async def check(tx: Tx, tried: Attempt, now: int) -> None:
    """Let a try be made, if not too many have failed.

    Raises:
        ProblemError: `rate-limited`, with the seconds to wait.
    """
    known = await tx.one(_IS_KNOWN, tried.account, tried.address, now)
    wait = 0
    for count in (tried.pair, tried.place, tried.target):
        row = await tx.one(_FIND, count.subject)
        if row is not None and not (known and count is tried.target):
            wait = max(wait, int(row[0]) - now - (count.most - 1) * count.refill)
    if wait > 0:
        code = "rate-limited"
        seconds = -(-wait // SECOND)
        raise ProblemError(code, "too many logins failed, wait and try again", retry_after=seconds)


async def add(tx: Tx, tried: Attempt, now: int) -> None:
    """Count a try that failed, and forget what has been made up for."""
    await tx.run(_FORGET, now)
    for count in sorted((tried.pair, tried.place, tried.target), key=lambda item: item.subject):
        await tx.run(_ADD, count.subject, now + count.refill, now, now, count.refill)
