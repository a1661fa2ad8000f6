"""Group and solo chats in the shape of EverOS: ``session_meta`` and ``conversation_list``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.episodes import read_conversations
from coffret_vault.ingest.errors import SourceEmptyError
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.names import clean_tags, printable_path
from coffret_vault.ingest.reading import decode_json, read_json
from coffret_vault.ingest.times import parse_time
from coffret_vault.ingest.turns import (
    Conversation,
    Message,
    Turns,
    read_turns,
    role_of,
    sender_name,
    spoken,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret_vault.ingest.draft import Imported

KIND = "everos"


class _Person(msgspec.Struct):
    full_name: str | None = None
    role: str | None = None


class _Meta(msgspec.Struct):
    name: str | None = None
    group_id: str | None = None
    created_at: str | float | None = None
    tags: list[str] | None = None
    user_details: dict[str, _Person] | None = None


class _File(msgspec.Struct):
    conversation_list: list[msgspec.Raw]
    session_meta: _Meta = msgspec.field(default_factory=_Meta)


class _Message(Unshown, msgspec.Struct):
    content: str
    message_id: str | None = None
    create_time: str | float | None = None
    sender: str | None = None
    sender_name: str | None = None


def read_everos(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    """Read one conversation file.

    Raises:
        SourceDamagedError: the file as a whole is not of that shape.
        SourceEmptyError: it holds no message.
    """
    data = read_json(path, limits.max_json_bytes)
    if not decode_json(data, _File).conversation_list:
        raise SourceEmptyError
    name = printable_path([path.name])
    return read_conversations([msgspec.Raw(data)], name, _conversation, limits)


def _conversation(raw: msgspec.Raw) -> tuple[Conversation, Turns]:
    file = decode_json(raw, _File)
    meta = file.session_meta
    turns = read_turns(file.conversation_list, partial(_turn, meta.user_details or {}))
    conversation = Conversation(
        kind=KIND,
        id=meta.group_id or "",
        title=meta.name or "",
        messages=turns.messages,
        tags=clean_tags(meta.tags or []),
        labels={"group": meta.group_id} if meta.group_id else {},
        created=parse_time(meta.created_at),
    )
    return conversation, turns


def _turn(people: dict[str, _Person], raw: msgspec.Raw, position: str) -> Message:
    message = decode_json(raw, _Message)
    role = _role(people, message)
    person = people.get(message.sender or "", _Person())
    name = person.full_name or message.sender_name or message.sender
    return Message(
        id=message.message_id or position,
        sender=sender_name(name, role),
        text=spoken(message.content),
        time=parse_time(message.create_time),
        role=role,
    )


def _role(people: dict[str, _Person], message: _Message) -> str:
    """In a group every member is called ``user``, and none of them is the owner for certain."""
    users = [person for person in people.values() if role_of(person.role) == "user"]
    person = people.get(message.sender or "", _Person())
    role = role_of(person.role or message.sender_name)
    return "other" if role == "user" and len(users) > 1 else role
