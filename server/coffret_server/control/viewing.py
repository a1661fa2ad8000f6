"""Everything the server keeps about an account, table by table, as it keeps it."""

from typing import Annotated, Final

from fastapi import Query, Request
from sqlalchemy import ColumnElement, Table, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from coffret_server import failures, gate
from coffret_server.control.repeats import of_new_account
from coffret_server.control.web import CurrentOwner, CurrentServices, answer, router
from coffret_server.data.call import PAGE_BYTES
from coffret_server.limits import network
from coffret_server.schema import Base, Idempotency, LoginFailure, Session
from coffret_server.services import Services

viewing = router("accounts")
_FARTHEST: Final = (1 << 63) - 1
_HIDDEN: Final = frozenset({"token_hash"})
_AT_ONCE: Final = 16
"""Rows that are read at once: one may have two MiB."""


@viewing.get("/accounts/me/server-view")
async def server_view(
    request: Request,
    owner: CurrentOwner,
    services: CurrentServices,
    limit: Annotated[int, Query(ge=0, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=_FARTHEST)] = 0,
    table: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Rows the server keeps about this account: of one table, or of each.

    `total` is how many a table has. Rows of more than 32 MiB together are parted, each table with
    one row at least: `table` and `offset` give those behind.
    """
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
            total = await session.scalar(select(func.count()).select_from(each).where(of_account))
            rows, size = await _rows(session, each, of_account, limit, offset, spare)
            spare -= size
            columns = [str(column.name) for column in each.columns]
            shown = [_shown(columns, row) for row in rows]
            tables.append(
                {"table": str(each.name), "columns": columns, "rows": shown, "total": total}
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


async def _rows(
    session: AsyncSession,
    table: Table,
    of_account: ColumnElement[bool],
    limit: int,
    offset: int,
    spare: int,
) -> tuple[list[list[object]], int]:
    """Rows from `offset` on until they are too many or too large, and their size."""
    rows: list[list[object]] = []
    size = 0
    chosen = select(table).where(of_account).order_by(*table.primary_key.columns)
    chosen = chosen.limit(limit).offset(offset).execution_options(yield_per=_AT_ONCE)
    found = await session.stream(chosen)
    async for row in found:
        own = sum(len(value) for value in row if isinstance(value, bytes | str))
        if rows and size + own > spare:
            break
        rows.append(list(row))
        size += own
    await found.close()
    return rows, size


def _shown(columns: list[str], row: list[object]) -> list[object]:
    """A row; of a token's hash only that it is kept."""
    return [
        "(kept, not shown)" if column in _HIDDEN else value
        for column, value in zip(columns, row, strict=True)
    ]
