"""A moment in which no app writes into a log, so that its owner can.

An append of the owner's has to build on all that is there, and an app's writing need not: one that
never stops would always be there first, from a better network than the owner's. So when an append
came too late that built on what the owner had covered, or on more, apps are told to wait, in all
processes. Each size that an owner builds on does that once, and none before it again: whoever heard
such an append, or has a session of the owner's in hand, can send it again and again until the owner
is back, and cannot sign another. An owner who signs any number of them leaves one row here.
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
"""µs for which it is known which size had its turn: heard and sent again, it has one a day."""
_MARK: Final = b"quiet"
"""Among what works once, the moment itself. Behind it, in 8 bytes, stands the size in another row:
all else there is longer."""
_SIZE: Final = 8
_NEWEST: Final = (
    "SELECT nonce FROM used_nonces WHERE account_id = ? AND nonce > ? AND nonce <= ?"
    " AND LENGTH(nonce) = ? AND expires >= ? ORDER BY nonce DESC LIMIT 1"
)
_FORGET: Final = (
    "DELETE FROM used_nonces WHERE account_id = ? AND nonce > ? AND nonce < ? AND LENGTH(nonce) = ?"
)
_HOLD: Final = "SELECT 1 FROM logs WHERE account_id = ?"
_BEGIN: Final = (
    "INSERT INTO used_nonces (account_id, nonce, expires) VALUES (?, ?, ?)"
    " ON CONFLICT (account_id, nonce) DO UPDATE SET expires = excluded.expires"
)
_UNTIL: Final = "SELECT expires FROM used_nonces WHERE account_id = ? AND nonce = ?"


class Overtaken(NamedTuple):
    """Whose append came too late, and the size that it built on."""

    account: bytes
    base: int


async def begin(tx: Tx, late: Overtaken, now: int) -> None:
    """Let the owner come again, if they build on more than when they came too late before.

    What builds on as much would be refused for good: whoever comes again read what is new.
    """
    if await tx.one(_HOLD + tx.for_update, late.account) is None:
        return  # deleted meanwhile: nothing more is kept of it
    mark, length = _MARK + late.base.to_bytes(_SIZE, "big"), len(_MARK) + _SIZE
    last = _MARK + b"\xff" * _SIZE
    before = await tx.one(_NEWEST, late.account, _MARK, last, length, now)
    if before is not None and mark <= before[0]:
        return
    await tx.run(_FORGET, late.account, _MARK, mark, length)
    if await spend(tx, late.account, mark, now + _KEPT, now):
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
