"""Everything the server keeps about an account, table by table, as it keeps it."""

from base64 import b64decode, urlsafe_b64encode
from typing import Annotated, Any, Final

import msgspec
from fastapi import Query, Request
from sqlalchemy import ColumnElement, Table, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from coffret_server import failures, gate
from coffret_server.control.web import CurrentOwner, CurrentServices, answer, router
from coffret_server.data.call import PAGE_BYTES
from coffret_server.limits import network
from coffret_server.once import of_new_account
from coffret_server.problems import refuse
from coffret_server.schema import Base, Entry, Idempotency, Log, LoginFailure, Session
from coffret_server.services import Services
from coffret_server.storage.base import Value

viewing = router("accounts")
_INTEGERS: Final = range(-(1 << 63), 1 << 63)
_LONGEST: Final = 1_024
_HIDDEN: Final = frozenset({"token_hash"})
_AT_ONCE: Final = 16
"""Rows that are read at once: one may have two MiB."""


@viewing.get("/accounts/me/server-view")
async def server_view(
    request: Request,
    owner: CurrentOwner,
    services: CurrentServices,
    limit: Annotated[int, Query(ge=0, le=500)] = 100,
    table: Annotated[str | None, Query(max_length=64)] = None,
    after: Annotated[str | None, Query(max_length=_LONGEST)] = None,
) -> Response:
    """Rows the server keeps about this account: of one table, or of each, in order of their keys.

    `total` is how many a table has; it is counted where a reading begins. Rows of more than 32 MiB
    together are parted, each table with one row at least: `table`, and what its `next` says as
    `after`, give those behind.
    """
    if after is not None and table is None:
        refuse("invalid-input", "`after` is a place in one table, which `table` names")
    spare = PAGE_BYTES
    tables = []
    here = network(gate.info_of(request.scope).address)
    async with services.storage.read() as session:
        for each in Base.metadata.sorted_tables:
            if table is not None and each.name != table:
                continue
            of_account = await _of_account(session, services, each, owner.account, here)
            if of_account is None:
                continue
            total = None if after else await _total(session, each, of_account, owner.account)
            begin = None if after is None else _place(each, after)
            rows, size, more = await _rows(session, each, of_account, limit, begin, spare)
            spare -= size
            columns = [str(column.name) for column in each.columns]
            tables.append(
                {
                    "table": str(each.name),
                    "columns": columns,
                    "rows": [_shown(columns, row) for row in rows],
                    "total": total,
                    "next": _cursor(each, columns, rows[-1]) if more else None,
                }
            )
    return answer({"account_id": owner.account_id, "tables": tables})


async def _of_account(
    session: AsyncSession, services: Services, table: Table, account: bytes, here: str
) -> ColumnElement[bool] | None:
    """What tells an account's rows of a table from others'; None where it has none of anybody.

    Failed logins are kept under hashes: those that can be found are shown, of the account itself
    and of it from where it is logged in.
    """
    if "account_id" in table.columns:
        return table.columns["account_id"] == account
    if table.name == Idempotency.__tablename__:
        return table.columns["caller"] == of_new_account(account)
    if table.name != LoginFailure.__tablename__:
        return None
    found = await session.scalars(
        select(Session.network).where(Session.account_id == account).distinct()
    )
    key, most = services.secrets.nonce_key, services.settings.login_failures
    tries = [failures.attempt(key, account, place, most) for place in {here, *found}]
    subjects = {subject for tried in tries for subject in tried.of_account()}
    return table.columns["subject"].in_(subjects)


async def _total(
    session: AsyncSession, table: Table, of_account: ColumnElement[bool], account: bytes
) -> int | None:
    """How many rows. Of entries the log says it: to count them is to read through all records."""
    if table.name == Entry.__tablename__:
        return await session.scalar(select(Log.size).where(Log.account_id == account))
    return await session.scalar(select(func.count()).select_from(table).where(of_account))


async def _rows(
    session: AsyncSession,
    table: Table,
    of_account: ColumnElement[bool],
    limit: int,
    after: list[Value] | None,
    spare: int,
) -> tuple[list[list[Value]], int, bool]:
    """Rows behind a place until they are too many or too large, their size, whether more follow."""
    rows: list[list[Value]] = []
    size = 0
    keys = table.primary_key.columns
    chosen = select(table).where(of_account).order_by(*keys)
    if after is not None:
        chosen = chosen.where(
            tuple_(*keys) > tuple_(*map(literal, after, [key.type for key in keys]))
        )
    chosen = chosen.limit(limit + 1).execution_options(yield_per=_AT_ONCE)
    found = await session.stream(chosen)
    more = False
    async for row in found:
        own = sum(len(value) for value in row if isinstance(value, bytes | str))
        more = len(rows) == limit or bool(rows and size + own > spare)
        if more:
            break
        rows.append(list(row))
        size += own
    await found.close()
    return rows, size, more and bool(rows)


def _cursor(table: Table, columns: list[str], row: list[Value]) -> str:
    """The place of a row: its primary key."""
    keys = [row[columns.index(str(key.name))] for key in table.primary_key.columns]
    return urlsafe_b64encode(msgspec.msgpack.encode(keys)).decode("ascii")


def _place(table: Table, after: str) -> list[Value]:
    """Undo :func:`_cursor`; which rows are shown is decided by other means."""
    keys = table.primary_key.columns
    try:
        place = msgspec.msgpack.decode(b64decode(after, b"-_", validate=True))
    except (ValueError, msgspec.MsgspecError, RecursionError):
        place = None
    if not isinstance(place, list) or len(place) != len(keys) or not all(map(_fits, place, keys)):
        refuse("malformed", "`after` is not one that this server gave")
    return place


def _fits(value: object, key: ColumnElement[Any]) -> bool:
    """Whether a database can compare a value with a column."""
    if isinstance(value, int) and value not in _INTEGERS:
        return False
    if isinstance(value, str) and "\0" in value:
        return False
    return type(value) is key.type.python_type


def _shown(columns: list[str], row: list[Value]) -> list[Value]:
    """A row; of a token's hash only that it is kept."""
    return [
        "(kept, not shown)" if column in _HIDDEN else value
        for column, value in zip(columns, row, strict=True)
    ]
