"""An operator deletes an account by its name.

What its owner would sign for is missing here: their devices are told that the operator did it, and
nothing shows them that it is so. It may be done while the server runs.
"""

import asyncio
import sys
from typing import Final, NamedTuple
from uuid import UUID

from coffret_server.departing import depart, erase_some, left_of
from coffret_server.problems import ProblemError
from coffret_server.saying import say
from coffret_server.services import Services, opened, system_clock
from coffret_server.settings import Settings
from coffret_server.storage import Tx
from coffret_server.storage.base import Row
from coffret_server.storage.open import check_there

NOTHING_DELETED: Final = 1
_FIND: Final = (
    "SELECT a.account_id, l.memories, l.size, l.bytes,"
    " (SELECT COUNT(*) FROM grants g WHERE g.account_id = a.account_id),"
    " (SELECT COUNT(*) FROM sessions s WHERE s.account_id = a.account_id)"
    " FROM accounts a JOIN logs l ON l.account_id = a.account_id WHERE a.username = ?"
)
_FIND_BEGUN: Final = "SELECT account_id FROM departures WHERE erased IS NULL AND username = ?"
_IS_LEFT: Final = "SELECT 1 FROM departures WHERE account_id = ? AND erased IS NULL"
_REST: Final = 0.005
"""Seconds between two steps, and where another process erases, between two looks."""


class _Account(NamedTuple):
    """An account that may be deleted, and how much there is of it."""

    account: bytes
    memories: int
    entries: int
    size: int
    grants: int
    sessions: int


def run(settings: Settings, username: str, *, yes: bool) -> int:
    """Delete the account of that name, asking before; the command's exit code."""
    return asyncio.run(_delete(settings, username, yes=yes))


async def _delete(settings: Settings, username: str, *, yes: bool) -> int:
    check_there(settings.database)
    async with opened(settings, system_clock) as services:
        begun = await services.storage.one(_FIND_BEGUN, username)
        if begun is not None:
            say("it was deleted already; what is left of it is erased")
            return await _erase(services, bytes(begun[0]))
        row = await services.storage.one(_FIND, username)
        if row is None:
            say("there is no account of that name")
            return NOTHING_DELETED
        found = _Account(*row)
        _describe(found)
        if not yes and not _is_meant(username):
            say("nothing was deleted")
            return NOTHING_DELETED

        async def job(tx: Tx) -> None:
            key = services.secrets.nonce_key
            await depart(tx, found.account, b"", b"", key, services.clock())

        try:
            await services.storage.submit(job)
        except ProblemError:
            say("its owner deleted it meanwhile; what is left of it is erased")
        else:
            say("it is gone for its owner and for apps; its rows are erased")
        return await _erase(services, found.account)


async def _erase(services: Services, account: bytes) -> int:
    """Erase until nothing of it is left; a server that runs beside this does its part."""

    async def job(tx: Tx) -> Row | None:
        if await left_of(tx, account) is not None:
            await erase_some(tx, account, services.clock())
        return await tx.one(_IS_LEFT, account)

    while await services.storage.submit(job) is not None:  # noqa: ASYNC110 - others write too
        await asyncio.sleep(_REST)
    say("all of it is erased; the name can be taken by anybody")
    return 0


def _describe(found: _Account) -> None:
    say(
        f"account {UUID(bytes=found.account)}: {found.memories} memories, {found.entries} entries"
        f" of its log, {found.size} bytes of its quota, {found.grants} grants to apps,"
        f" {found.sessions} sessions"
    )
    say("it cannot be had back; a backup of the database that has it, has it still")


def _is_meant(username: str) -> bool:
    """Whether whoever runs this types the name; nobody who is not there does."""
    if not sys.stdin.isatty():
        say("this needs the name typed by a person, or --yes")
        return False
    say("type the username to delete it:")
    return sys.stdin.readline().rstrip("\r\n") == username
