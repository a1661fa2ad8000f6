"""What the server keeps about an account, by its own word, and what it can read in it."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

import msgspec

from coffret.flows.http import Count, Cursor, decode_json
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


class _Part(msgspec.Struct, kw_only=True):
    table: str
    columns: list[str]
    rows: list[list[Any]]
    next: Cursor | None = None


class _Table(_Part):
    total: Count


class _View(msgspec.Struct):
    account_id: str
    tables: list[_Table]


class _Behind(msgspec.Struct):
    tables: list[_Part]


class _Envelope(msgspec.Struct, frozen=True, array_like=True):
    header: bytes


def server_view(state: VaultState, rows: int | None) -> Flow[dict[str, Any]]:
    """The first rows of each table, or all of them, page by page.

    Raises:
        TooLargeError: the server goes on and on.
    """
    held, wanted = 0, 2**63 if rows is None else rows
    path, limit = "/accounts/me/server-view", ("limit", str(min(wanted, _PAGE)))
    view = decode_json((yield from get(state, path, limit)), _View)
    for table in view.tables:
        while table.next and len(table.rows) < wanted:
            limit = ("limit", str(min(wanted - len(table.rows), _PAGE)))
            place = ("table", table.table), ("after", table.next)
            page = decode_json((yield from get(state, path, limit, *place)), _Behind)
            more = [found for found in page.tables if found.table == table.table and found.rows]
            if not more:
                break  # there are fewer by now
            table.rows += more[0].rows
            table.next = more[0].next
            held += len(more[0].rows)
            if held > _MOST:
                message = "the server shows more rows than there can be; ask for fewer"
                raise TooLargeError(message)
    tables = [_told(table) for table in view.tables]
    return {"account_id": view.account_id, "tables": tables}


def _told(table: _Table) -> dict[str, Any]:
    """A table; one with records also says what can be read in each, since they are in base64."""
    told = msgspec.structs.asdict(table)
    del told["next"]
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
