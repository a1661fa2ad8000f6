"""What the server can list by itself: the fields that are in the clear."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import Query
from sqlalchemy import Select, and_, func, select
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
from coffret_server.wire.records import IMPORTANCE_LIMIT, Header, parse_header

listing = router("memories")


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
) -> "Select[Memory, Entry]":
    """The memories asked for, newest id first, each with the entry that shows it."""
    chosen = (
        select(Memory, Entry)
        .join(Entry, and_(Entry.account_id == Memory.account_id, Entry.seq == Memory.list_seq))
        .where(Memory.account_id == account, Memory.deleted == 0)
        .order_by(Memory.memory_id.desc())
    )
    if after is not None:
        chosen = chosen.where(Memory.memory_id < after)
    if importance is not None:
        chosen = chosen.where(Memory.importance >= round(importance * IMPORTANCE_LIMIT))
    for tag in tags:
        having = select(MemoryTag.memory_id).where(
            MemoryTag.account_id == account, MemoryTag.tag == tag
        )
        chosen = chosen.where(Memory.memory_id.in_(having))
    return chosen


@listing.get("/memory-blobs", response_model=PageAnswer)
async def list_memories(
    owner: CurrentOwner,
    services: CurrentServices,
    tags: Annotated[list[str], Query(max_length=64)] = [],  # noqa: B006 - FastAPI copies it
    importance: Annotated[float | None, Query(ge=0, le=1)] = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Memories by what is in the clear: all the tags, at least that importance."""
    if any("\0" in tag for tag in tags):
        refuse("invalid-input", "a tag has no zero byte, and PostgreSQL's text neither")
    chosen = _chosen(owner.account, tags, importance, _cursor(cursor)).limit(limit + 1)
    async with services.storage.read() as session:
        rows = (await session.execute(chosen)).all()
    items = [_item(memory, entry) for memory, entry in rows[:limit]]
    more = len(rows) > limit
    last = base64.urlsafe_b64encode(rows[limit - 1][0].memory_id).decode() if more else None
    return answer({"items": items, "next_cursor": last})


def _item(memory: Memory, entry: Entry) -> dict[str, object]:
    record = entry.record or b""
    header = _header(record)
    importance = header.importance
    return {
        "memory_id": uuid(memory.memory_id),
        "version": entry.version,
        "title": header.title,
        "importance": None if importance is None else importance / IMPORTANCE_LIMIT,
        "tags": header.tags,
        "author": maybe_uuid(header.author),
        "created": header.created,
        "updated": header.updated,
        "size": len(record),
        "status": STATUS_NAMES[entry.status or 0],
    }


def _header(record: bytes) -> Header:
    parts: list[bytes] = msgspec.msgpack.decode(record, type=list[bytes])
    return parse_header(parts[0])


@listing.get("/tags", response_model=list[TagAnswer])
async def list_tags(owner: CurrentOwner, services: CurrentServices) -> Response:
    """The tags in use, the most used first."""
    count = func.count()
    async with services.storage.read() as session:
        rows = await session.execute(
            select(MemoryTag.tag, count)
            .where(MemoryTag.account_id == owner.account)
            .group_by(MemoryTag.tag)
        )
        found = sorted(((tag, number) for tag, number in rows), key=lambda row: (-row[1], row[0]))
    return answer([{"tag": tag, "memories": number} for tag, number in found])
