"""A moment in which no app writes into a log, so that its owner can.

An append of the owner's has to build on all that is there, and an app's writing need not: one that
never stops would always be there first, from a better network than the owner's. So when an append
came too late that built on what the owner had covered, or on more, apps are told to wait, in all
processes. Each head does that once: whoever heard such an append, or has a session of the owner's
in hand, can send it again and again until the owner is back, and cannot sign another.
"""

from math import ceil
from typing import Final, NamedTuple

from coffret_server.once import spend
from coffret_server.problems import ProblemError
from coffret_server.purging import purge
from coffret_server.storage import Tx

SECONDS: Final = 3.0
"""More than a device takes to read what is new, to sign and to send."""
_SECOND: Final = 1_000_000
_KEPT: Final = 86_400 * _SECOND
"""µs for which it is known that a head had its turn: heard and sent again, it has one a day."""
_MARK: Final = b"quiet"
"""Among what works once, the moment itself; all else there is longer."""
_HOLD: Final = "SELECT 1 FROM logs WHERE account_id = ?"
_BEGIN: Final = (
    "INSERT INTO used_nonces (account_id, nonce, expires) VALUES (?, ?, ?)"
    " ON CONFLICT (account_id, nonce) DO UPDATE SET expires = excluded.expires"
)
_UNTIL: Final = "SELECT expires FROM used_nonces WHERE account_id = ? AND nonce = ?"


class Overtaken(NamedTuple):
    """Whose append came too late, and the digest of its head."""

    account: bytes
    head: bytes


async def begin(tx: Tx, late: Overtaken, now: int) -> None:
    """Let the owner come again, if this head came too late for the first time."""
    if await tx.one(_HOLD + tx.for_update, late.account) is None:
        return  # deleted meanwhile: nothing more is kept of it
    if await spend(tx, late.account, late.head, now + _KEPT, now):
        await tx.run(_BEGIN, late.account, _MARK, now + int(SECONDS * _SECOND))
    await purge(tx, "used_nonces", now)


async def check(tx: Tx, account: bytes, now: int) -> None:
    """Refuse what an app writes meanwhile.

    Raises:
        ProblemError: `rate-limited`, with the seconds that are left.
    """
    row = await tx.one(_UNTIL, account, _MARK)
    left = 0.0 if row is None else (row[0] - now) / _SECOND
    if 0 < left <= 2 * SECONDS:  # else it is of a clock that was ahead, and keeps nobody waiting
        code, detail = "rate-limited", "the owner is writing, wait and try again"
        raise ProblemError(code, detail, retry_after=ceil(left))
