"""What is still known of an account that was deleted: that it was, and what apps had of it."""

from typing import Final, NamedTuple, NoReturn

from sqlalchemy import ColumnElement, and_, exists
from sqlalchemy.ext.asyncio import AsyncSession

from coffret_server.principals import AppCaller, Owner
from coffret_server.problems import refuse
from coffret_server.schema import AccessRequest, Account, Grant
from coffret_server.storage import Tx, session_tx

OWNER_GONE: Final = ("owner-gone", "the owner deleted their account, and with it what was granted")
_IS_NAME_TAKEN: Final = "SELECT 1 FROM departures WHERE erased IS NULL AND username = ?"
_IS_ID_TAKEN: Final = "SELECT 1 FROM departures WHERE account_id = ?"
_IS_BYGONE: Final = (
    "SELECT 1 FROM bygones WHERE thing_id = ? AND app_id = ?"
    " UNION ALL SELECT 1 FROM grants g WHERE g.grant_id = ? AND g.app_id = ?"
    " AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = g.account_id)"
    " UNION ALL SELECT 1 FROM access_requests r WHERE r.request_id = ? AND r.app_id = ?"
    " AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = r.account_id)"
)
_FIND: Final = "SELECT statement, signature, erased FROM departures WHERE account_id = ?"


class Departure(NamedTuple):
    """What is known of an account that was deleted; without a statement, by the operator."""

    statement: bytes
    signature: bytes
    erased: int | None


async def check_free(tx: Tx, account: bytes, username: str) -> None:
    """Let nobody have the id of an account that was deleted, nor its name while it is erased.

    Raises:
        ProblemError: `conflict` or `username-taken`.
    """
    if await tx.one(_IS_ID_TAKEN, account) is not None:
        refuse("conflict", "an account of that id exists")
    if await tx.one(_IS_NAME_TAKEN, username) is not None:
        refuse("username-taken", "an account of that name exists")


def of(caller: Owner | AppCaller, kind: type[Grant | AccessRequest]) -> ColumnElement[bool]:
    """Which requests or grants a caller may see: what is left of a deleted account is nobody's."""
    if isinstance(caller, Owner):
        return kind.account_id == caller.account
    has_owner = exists().where(Account.account_id == kind.account_id)
    return and_(kind.app_id == caller.app, has_owner)


async def refuse_shown(
    session: AsyncSession, thing: bytes, caller: Owner | AppCaller, what: str
) -> NoReturn:
    """Say to whoever asked why there is no such request or grant of theirs.

    Raises:
        ProblemError: as `refuse_missing` for an app, `not-found` for an owner.
    """
    if isinstance(caller, AppCaller):
        await refuse_missing(await session_tx(session), thing, caller.app, what)
    refuse("not-found", f"there is no such {what}")


async def refuse_missing(tx: Tx, thing: bytes, app: bytes, what: str) -> NoReturn:
    """Say to an app why there is no such request or grant of its own.

    Raises:
        ProblemError: `owner-gone` if it went with the owner's account, else `not-found`.
    """
    if await tx.one(_IS_BYGONE, *(thing, app) * 3) is not None:
        refuse(*OWNER_GONE)
    refuse("not-found", f"there is no such {what}")


async def find(tx: Tx, account: bytes) -> Departure | None:
    """An account that was deleted."""
    row = await tx.one(_FIND, account)
    return None if row is None else Departure(row[0], row[1], row[2])
