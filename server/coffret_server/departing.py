"""An account that is deleted: gone for everybody at once, then erased a little at a time.

One short transaction takes the account, its keyslots, sessions and the state of its log: whoever
called for it is nobody from then on, and no grant of it serves its app. A vault may have a million
records, whose rows go afterwards, some at a time, so that no step of it keeps other writers
waiting. What is left to do stands in the database: it goes on after a crash, in whatever process.
Until the last row is gone, nobody gets the name; nobody ever gets the id.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from sqlalchemy import LargeBinary, Table

from coffret_server import failures
from coffret_server.once import of_new_account
from coffret_server.problems import refuse
from coffret_server.schema import Base
from coffret_server.storage.base import Row, Tx

AT_ONCE: Final = 250
"""Rows that one step takes at most: some milliseconds, like a page of a reading."""
BYTES_AT_ONCE: Final = 4 * 1024 * 1024
"""Bytes of them, or one row: a record may have 2 MiB."""
_HOLD: Final = "SELECT username FROM accounts WHERE account_id = ?"
_NETWORKS: Final = "SELECT DISTINCT network FROM sessions WHERE account_id = ?"
_DEPART: Final = (
    "INSERT INTO departures (account_id, username, statement, signature, begun, erased)"
    " VALUES (?, ?, ?, ?, ?, NULL)"
)
_AT_ONCE_GONE: Final = ("accounts", "keyslots", "sessions", "logs")
_FORGET_FAILURES: Final = (
    "DELETE FROM login_failures WHERE subject IN"
    " (SELECT subject FROM login_failures WHERE subject = ?"
)
_FORGET_REPEATS: Final = "DELETE FROM idempotency WHERE caller = ?"
_NEXT: Final = (
    "SELECT begun, account_id FROM departures WHERE erased IS NULL"
    " AND (begun, account_id) > (?, ?) ORDER BY begun, account_id LIMIT 1"
)
_THIS: Final = "SELECT begun, account_id FROM departures WHERE erased IS NULL AND account_id = ?"
_DONE: Final = "UPDATE departures SET username = NULL, erased = ? WHERE account_id = ?"
_KEEP_BYGONE: Final = (
    "INSERT INTO bygones (thing_id, app_id) SELECT CAST(? AS BLOB), app_id FROM apps"
    " WHERE app_id = ? AND LENGTH(developer_id) > 0 ON CONFLICT DO NOTHING"
)
"""Of an app that was ended nothing is kept: it cannot ask."""


class Place(NamedTuple):
    """An account of which something is left, in the order in which they were deleted."""

    begun: int
    account: bytes


FIRST: Final = Place(-1, b"")
"""Before all of them."""


class _Part(NamedTuple):
    """A table with rows of accounts: how some are chosen, and how those are deleted."""

    choose: str
    delete: str
    keys: int
    is_of_apps: bool


def _part(table: Table) -> _Part:
    keys = [column.name for column in table.primary_key.columns][1:]
    sizes = [
        f"COALESCE(LENGTH({column.name}), 0)"
        for column in table.columns
        if isinstance(column.type, LargeBinary) and not column.primary_key
    ]
    is_of_apps = "app_id" in table.columns
    chosen = [*keys, *(["app_id"] if is_of_apps else []), " + ".join(sizes) or "0"]
    names = ", ".join(keys)
    return _Part(
        f"SELECT {', '.join(chosen)} FROM {table.name}"  # noqa: S608 - our own names
        f" WHERE account_id = ? ORDER BY {names} LIMIT {AT_ONCE}",
        # One row by its whole key: for a range of keys SQLite may take another index, which holds
        # every wrap of a grant together, and would read all of them for each few that go.
        f"DELETE FROM {table.name} WHERE account_id = ?"  # noqa: S608 - our own names
        + "".join(f" AND {key} = ?" for key in keys),
        len(keys),
        is_of_apps,
    )


def _parts() -> tuple[_Part, ...]:
    """Every table with rows of accounts, but those that go at once, and the one that stays."""
    kept = {*_AT_ONCE_GONE, "departures"}
    return tuple(
        _part(table)
        for table in Base.metadata.sorted_tables
        if "account_id" in table.columns and table.name not in kept
    )


PARTS: Final = _parts()


async def depart(
    tx: Tx, account: bytes, statement: bytes, signature: bytes, nonce_key: bytes, now: int
) -> None:
    """Let an account be gone for everybody; `erase_some` does the rest.

    Args:
        tx: a writing transaction; the caller made sure of who asks.
        account: whose.
        statement: the owner's word; empty where the operator does it.
        signature: over that, by the account's key.
        nonce_key: the server's own, under which failed logins are counted.
        now: µs.

    Raises:
        ProblemError: `not-found`.
    """
    found = await tx.one(_HOLD + tx.for_update, account)
    if found is None:
        refuse("not-found", "there is no such account")
    await _forget_failures(tx, account, nonce_key)
    for table in _AT_ONCE_GONE:
        await tx.run(f"DELETE FROM {table} WHERE account_id = ?", account)  # noqa: S608 - our own names
    await tx.run(_FORGET_REPEATS, of_new_account(account))
    await tx.run(_DEPART, account, found[0], statement, signature, now)


async def _forget_failures(tx: Tx, account: bytes, nonce_key: bytes) -> None:
    """Forget the failed logins that are counted for it, as far as their networks are known.

    Not those that a login holds: neither waits for the other, and these go when they are over.
    """
    networks = [row[0] for row in await tx.all(_NETWORKS, account)] or [""]
    tries = [failures.attempt(nonce_key, account, network, 1) for network in networks]
    subjects = {subject for tried in tries for subject in tried.of_account()}
    forget = f"{_FORGET_FAILURES}{_skip(tx)})"
    await tx.many(forget, [(subject,) for subject in sorted(subjects)])


def _skip(tx: Tx) -> str:
    """What leaves out, where rows are locked one by one, those that others hold."""
    return f"{tx.for_update} SKIP LOCKED" if tx.for_update else ""


async def next_left(tx: Tx, after: Place = FIRST) -> Place | None:
    """The next account of which something is left, for this transaction alone.

    Processes that erase side by side take different accounts.
    """
    row = await tx.one(_NEXT + _skip(tx), *after)
    return None if row is None else Place(row[0], bytes(row[1]))


async def left_of(tx: Tx, account: bytes) -> Place | None:
    """This very account, as `next_left` gives it; None where another process is about it."""
    row = await tx.one(_THIS + _skip(tx), account)
    return None if row is None else Place(row[0], bytes(row[1]))


async def erase_some(tx: Tx, account: bytes, now: int) -> None:
    """Erase some rows of an account that is gone; where there are none, all of it is erased."""
    for part in PARTS:
        if rows := await tx.all(part.choose, account):
            await _erase(tx, account, part, _fitting(rows))
            return
    await tx.run(_DONE, now, account)


def _fitting(rows: Sequence[Row]) -> Sequence[Row]:
    """As many of the rows as are not too large together; one at least."""
    sizes = accumulate(int(row[-1]) for row in rows)
    return rows[: max(1, sum(size <= BYTES_AT_ONCE for size in sizes))]


async def _erase(tx: Tx, account: bytes, part: _Part, rows: Sequence[Row]) -> None:
    if part.is_of_apps:
        keep = _KEEP_BYGONE.replace("BLOB", tx.bytes_type)
        await tx.many(keep, [(row[0], row[1]) for row in rows])
    await tx.many(part.delete, [(account, *row[: part.keys]) for row in rows])
