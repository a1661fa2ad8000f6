"""What the server can list by itself: the fields that are in the clear."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

from fastapi import Query
from sqlalchemy import Select, and_, func, literal, select
from starlette.responses import Response

from coffret_server.control.web import (
    Answer,
    CurrentOwner,
    CurrentServices,
    answer,
    maybe_uuid,
    router,
    uuid,
)
from coffret_server.problems import malformed, refuse
from coffret_server.schema import STATUS_NAMES, Entry, Memory, MemoryTag
from coffret_server.wire.records import HEADER_LIMIT, IMPORTANCE_LIMIT, Header, parse_header

listing = router("memories")
TAGS_LIMIT: Final = 10_000
"""More than anybody looks through; an account may have millions, and a list of them all is made in
this server's memory."""
LOOKED_THROUGH: Final = 10_000
"""Memories that one page is chosen from: an account may have a million, of which none is it."""
S = TypeVar("S", bound="Select[*tuple[Any, ...]]")
_BINARY: Final = 0xC4
"""MessagePack's mark of bytes whose length has one byte; that of two follows it, and so on."""
_BEGINNING: Final = 2 + 2 + HEADER_LIMIT
"""What of a record holds its header, which stands first: the rest may have two MiB."""


class ItemAnswer(Answer):
    """The clear fields of a memory."""

    memory_id: UUID
    version: int
    title: str
    importance: float | None
    tags: list[str]
    author: UUID | None
    created: int
    updated: int
    size: int
    status: str


class PageAnswer(Answer):
    """A page of memories, newest first."""

    items: list[ItemAnswer]
    next_cursor: str | None


class TagAnswer(Answer):
    """A tag and how many memories have it."""

    tag: str
    memories: int


def _cursor(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        found = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != 16:  # noqa: PLR2004 - an id
        detail = "the cursor is not one that this server gave"
        raise malformed(detail)
    return found


def _chosen(
    account: bytes, tags: Sequence[str], importance: float | None, after: bytes | None
) -> "Select[bytes, int, int, int, bytes]":
    """The memories asked for, newest id first, each with what is shown of its entry.

    Of the next that there are, deleted or not: `_last` tells where these end.
    """
    columns = select(Memory.memory_id, Memory.list_seq, Memory.importance, Memory.deleted)
    some = _after(columns, account, after).limit(LOOKED_THROUGH).subquery()
    beginning = func.substr(Entry.record, 1, _BEGINNING)
    chosen = (
        select(some.c.memory_id, Entry.version, Entry.status, func.length(Entry.record), beginning)
        .join(Entry, and_(Entry.account_id == account, Entry.seq == some.c.list_seq))
        .where(some.c.deleted == 0)
        .order_by(some.c.memory_id.desc())
    )
    if importance is not None:
        chosen = chosen.where(some.c.importance >= round(importance * IMPORTANCE_LIMIT))
    for tag in tags:
        having = select(literal(1)).where(
            MemoryTag.account_id == account,
            MemoryTag.tag == tag,
            MemoryTag.memory_id == some.c.memory_id,
        )
        chosen = chosen.where(having.exists())
    return chosen


def _last(account: bytes, after: bytes | None) -> "Select[bytes]":
    """The last of the memories that a page is chosen from, and the next, if there is one."""
    return _after(select(Memory.memory_id), account, after).offset(LOOKED_THROUGH - 1).limit(2)


def _after(columns: S, account: bytes, after: bytes | None) -> S:
    """An account's memories, newest id first, from behind one of them on."""
    ordered = columns.where(Memory.account_id == account).order_by(Memory.memory_id.desc())
    return ordered if after is None else ordered.where(Memory.memory_id < after)


@listing.get("/memory-blobs", response_model=PageAnswer)
async def list_memories(
    owner: CurrentOwner,
    services: CurrentServices,
    tags: Annotated[list[str], Query(max_length=64)] = [],  # noqa: B006 - FastAPI copies it
    importance: Annotated[float | None, Query(ge=0, le=1)] = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Memories by what is in the clear: all the tags, at least that importance.

    A page may be short, or empty, though more follow: then it has a cursor.
    """
    if any("\0" in tag for tag in tags):
        refuse("invalid-input", "a tag has no zero byte, and PostgreSQL's text neither")
    after = _cursor(cursor)
    chosen = _chosen(owner.account, tags, importance, after).limit(limit + 1)
    async with services.storage.read() as session:
        rows = (await session.execute(chosen)).all()
        if len(rows) > limit:
            ends = [row.memory_id for row in rows[limit - 1 :]]
        else:
            ends = list(await session.scalars(_last(owner.account, after)))
    items = [_item(*row) for row in rows[:limit]]
    following = base64.urlsafe_b64encode(ends[0]).decode() if len(ends) > 1 else None
    return answer({"items": items, "next_cursor": following})


def _item(
    memory: bytes, version: int, status: int | None, size: int, beginning: bytes
) -> dict[str, object]:
    header = _header(beginning)
    importance = header.importance
    return {
        "memory_id": uuid(memory),
        "version": version,
        "title": header.title,
        "importance": None if importance is None else importance / IMPORTANCE_LIMIT,
        "tags": header.tags,
        "author": maybe_uuid(header.author),
        "created": header.created,
        "updated": header.updated,
        "size": size,
        "status": STATUS_NAMES[status or 0],
    }


def _header(beginning: bytes) -> Header:
    """The header of a stored record, a MessagePack array of bytes, by how it begins."""
    start = 2 + (1 << (beginning[1] - _BINARY))
    return parse_header(beginning[start : start + int.from_bytes(beginning[2:start], "big")])


@listing.get("/tags", response_model=list[TagAnswer])
async def list_tags(owner: CurrentOwner, services: CurrentServices) -> Response:
    """The tags in use that are used most, and these in that order."""
    count = func.count()
    async with services.storage.read() as session:
        rows = await session.execute(
            select(MemoryTag.tag, count)
            .where(MemoryTag.account_id == owner.account)
            .group_by(MemoryTag.tag)
            .order_by(count.desc(), MemoryTag.tag)
            .limit(TAGS_LIMIT)
        )
        found = [{"tag": tag, "memories": number} for tag, number in rows]
    return answer(found)
