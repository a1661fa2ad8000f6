"""What the server keeps about an account, by its own word, and what it can read in it."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

import msgspec

from coffret.flows.http import Count, decode_json
from coffret.flows.session import get
from coffret_vault.errors import CoffretError, TooLargeError
from coffret_vault.formats.memory import parse_header

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState

_PAGE = 500
_MILLION = 1_000_000
_MOST = 5_000_000
"""Rows that are held at once, whatever the server says there are: some gigabytes."""
_RECORD = "record"


class _Table(msgspec.Struct):
    table: str
    columns: list[str]
    rows: list[list[Any]]
    total: Count


class _View(msgspec.Struct):
    account_id: str
    tables: list[_Table]


class _Envelope(msgspec.Struct, frozen=True, array_like=True):
    header: bytes


def server_view(state: VaultState, rows: int | None) -> Flow[dict[str, Any]]:
    """The first rows of each table, or all of them, page by page.

    Raises:
        TooLargeError: the server goes on and on.
    """
    held, wanted = 0, 2**63 if rows is None else rows
    view = yield from _page(state, min(wanted, _PAGE), 0)
    for table in view.tables:
        while len(table.rows) < min(wanted, table.total):
            behind = len(table.rows)
            page = yield from _page(state, min(wanted - behind, _PAGE), behind, table.table)
            more = [
                row for found in page.tables if found.table == table.table for row in found.rows
            ]
            if not more:
                break  # there are fewer by now
            table.rows += more
            held += len(more)
            if held > _MOST:
                message = "the server shows more rows than there can be; ask for fewer"
                raise TooLargeError(message)
    tables = [_told(table) for table in view.tables]
    return {"account_id": view.account_id, "tables": tables}


def _page(state: VaultState, limit: int, offset: int, table: str = "") -> Flow[_View]:
    params = [("limit", str(limit)), ("offset", str(offset))]
    params += [("table", table)] if table else []
    return decode_json((yield from get(state, "/accounts/me/server-view", *params)), _View)


def _told(table: _Table) -> dict[str, Any]:
    """A table; one with records also says what can be read in each, since they are in base64."""
    told = msgspec.structs.asdict(table)
    if _RECORD in table.columns:
        at = table.columns.index(_RECORD)
        told["readable"] = [_readable(row[at] if at < len(row) else None) for row in table.rows]
    return told


def _readable(record: object) -> dict[str, Any] | None:
    """What a record says in the clear; None where there is none, or none that can be read."""
    if not isinstance(record, str):
        return None
    try:
        data = b64decode(record, validate=True)
        header = parse_header(msgspec.msgpack.decode(data, type=_Envelope).header)
    except (ValueError, msgspec.MsgspecError, CoffretError, RecursionError):
        return None
    importance = None if header.importance is None else header.importance / _MILLION
    return {
        "title": header.title,
        "tags": list(header.tags),
        "importance": importance,
        "sealed": header.sealed,
    }
