"""A grant as both planes see it: its state by the clock, and what an app may do under it."""

from typing import Final

import msgspec

from coffret_server.bygone import refuse_missing
from coffret_server.principals import AppCaller
from coffret_server.problems import ProblemError, refuse
from coffret_server.storage import Tx
from coffret_server.wire.apps import parse_begin

ACTIVATING: Final = "activating"
ACTIVE: Final = "active"
PAUSED: Final = "paused"
REVOKED: Final = "revoked"
ENDED: Final = "ended"
LIMIT: Final = 4_900
"""Grants of an account, those that are over too: a key change names them all in one body, and ends
those that are not, in one append of 5,000 leaves, of which its keyslots have some."""
_WAIT: Final = 3_600
_REFUSALS: Final = {
    ACTIVATING: ("grant-activating", "the owner's device is still setting the grant up"),
    PAUSED: ("grant-paused", "the owner paused the grant"),
    REVOKED: ("grant-revoked", "the owner revoked the grant"),
    ENDED: ("grant-expired", "the grant has expired"),
}


class Grant(msgspec.Struct, frozen=True):
    """What the data plane needs of a grant."""

    account: bytes
    grant: bytes
    app: bytes
    state: str
    scopes: frozenset[str]
    expires: int
    last_read: int | None


def state_at(stored: str, expires: int, now: int) -> str:
    """A grant's state: what is not revoked has ended when its time is over."""
    return ENDED if stored != REVOKED and expires <= now else stored


async def check_number(tx: Tx, account: bytes) -> None:
    """Let an account have no more grants than a key change can end at once.

    Raises:
        ProblemError: `quota-exceeded`.
    """
    row = await tx.one("SELECT COUNT(*) FROM grants WHERE account_id = ?", account)
    if row is not None and row[0] >= LIMIT:
        code, detail = "quota-exceeded", f"an account has {LIMIT:,} grants at most, with those over"
        raise ProblemError(code, detail, retry_after=_WAIT)


async def find_grant(tx: Tx, grant: bytes, now: int) -> Grant | None:
    """A grant by its id, of an account that was not deleted."""
    row = await tx.one(
        "SELECT g.account_id, g.app_id, g.state, g.scopes, g.expires, g.last_read FROM grants g"
        " JOIN accounts a ON a.account_id = g.account_id WHERE g.grant_id = ?",
        grant,
    )
    if row is None:
        return None
    scopes = frozenset(str(row[3]).split())
    return Grant(row[0], grant, row[1], state_at(row[2], row[4], now), scopes, row[4], row[5])


async def usable_grant(tx: Tx, grant: bytes, app: AppCaller, now: int) -> Grant:
    """The active grant of an app, with the scopes that the app's API key is good for as well.

    Raises:
        ProblemError: `not-found`, `owner-gone`, or the `grant-…` code of its state.
    """
    found = await find_grant(tx, grant, now)
    if found is None or found.app != app.app:
        await refuse_missing(tx, grant, app.app, "grant")
    if found.state != ACTIVE:
        refuse(*_REFUSALS[found.state])
    return msgspec.structs.replace(found, scopes=found.scopes & app.scopes)


def refuse_unready(state: str) -> None:
    """Refuse, by its code, what is not in force yet or any more, and was not ended by its owner."""
    if state in {ACTIVATING, ENDED}:
        refuse(*_REFUSALS[state])


async def own_grant(tx: Tx, grant: bytes, account: bytes, now: int) -> Grant:
    """A grant of an owner.

    Raises:
        ProblemError: `not-found`.
    """
    found = await find_grant(tx, grant, now)
    if found is None or found.account != account:
        refuse("not-found", "there is no such grant")
    return found


async def begins(tx: Tx, grant: Grant) -> int:
    """From when on (µs) a grant is good, as its statement says."""
    row = await tx.one(
        "SELECT statement FROM grants WHERE account_id = ? AND grant_id = ?",
        grant.account,
        grant.grant,
    )
    return parse_begin(row[0]) if row else grant.expires
