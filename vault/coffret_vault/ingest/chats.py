"""Coffret's own chat shape: the one to write when a program has none of its own.

A JSON file holds conversations, or one, or the messages of one::

    {"conversations": [
        {"id": "c1", "title": "Plans", "tags": ["home"], "messages": [
            {"id": "m1", "role": "user", "sender": "Ana", "content": "Shall we?",
             "time": "2024-05-02T18:30:00Z"}]}]}

    [{"role": "user", "content": "Shall we?"}]

A JSONL file holds one message a line, with the same fields and ``conversation``, the id of the
conversation it belongs to. Only ``content`` is required. ``time`` is ISO 8601, or seconds or
milliseconds since 1970; ``timestamp`` and ``created_at`` are understood as well, and ``name`` for
``sender``. A role is ``user`` for the owner, ``assistant``, or anything else for other people.
Fields that are not listed are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.draft import Imported, ImportSkipped
from coffret_vault.ingest.episodes import read_conversations, read_episodes
from coffret_vault.ingest.errors import SourceDamagedError, SourceEmptyError
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.names import clean_tags, printable_path
from coffret_vault.ingest.reading import decode_json, decode_top, json_lines, read_json
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

KIND = "chat"


class _Message(Unshown, msgspec.Struct):
    content: str
    id: str | int | None = None
    role: str | None = None
    sender: str | None = None
    name: str | None = None
    time: str | float | None = None
    timestamp: str | float | None = None
    created_at: str | float | None = None
    conversation: str | int | None = None


class _Conversation(Unshown, msgspec.Struct):
    messages: list[msgspec.Raw]
    id: str | int | None = None
    title: str | None = None
    tags: list[str] = []


def read_chats(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    """Read a JSON or JSONL file in Coffret's chat shape.

    Raises:
        SourceDamagedError: the file as a whole is not of that shape; a conversation or message
            that is not is yielded as skipped instead.
        SourceEmptyError: it holds nothing.
    """
    data = read_json(path, limits.max_json_bytes)
    name = printable_path([path.name])
    if path.suffix.lower() == ".jsonl":
        return _read_lines(data, name, limits)
    return read_conversations(_conversations(data), name, _conversation, limits)


def _conversations(data: bytes) -> list[msgspec.Raw]:
    whole = decode_top(data)
    if isinstance(whole, dict):
        if "conversations" in whole:
            return decode_json(whole["conversations"], list[msgspec.Raw])
        return [msgspec.Raw(data)]
    if whole and "messages" not in _members(whole[0]):
        return [msgspec.Raw(msgspec.json.encode({"messages": whole}))]
    return whole


def _members(item: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return decode_json(item, dict[str, msgspec.Raw])
    except SourceDamagedError:
        return {}


def _conversation(raw: msgspec.Raw) -> tuple[Conversation, Turns]:
    talk = decode_json(raw, _Conversation)
    turns = read_turns(talk.messages, _turn)
    conversation = Conversation(
        kind=KIND,
        id="" if talk.id is None else str(talk.id),
        title=talk.title or "",
        messages=turns.messages,
        tags=clean_tags(talk.tags),
    )
    return conversation, turns


def _turn(raw: msgspec.Raw, position: str) -> Message:
    return _message(decode_json(raw, _Message), position)


def _message(message: _Message, position: str) -> Message:
    role = role_of(message.role or message.sender)
    times = (message.time, message.timestamp, message.created_at)
    return Message(
        id=position if message.id is None else str(message.id),
        sender=sender_name(message.sender or message.name, role),
        text=spoken(message.content),
        time=next((time for time in map(parse_time, times) if time is not None), None),
        role=role,
    )


def _read_lines(data: bytes, name: str, limits: Limits) -> Iterator[Imported]:
    talks: dict[str, list[Message]] = {}
    for number, line in json_lines(data):
        try:
            stated = decode_json(line, _Message)
            talk = talks.setdefault(str(stated.conversation or ""), [])
            talk.append(_message(stated, str(len(talk) + 1)))
        except SourceDamagedError as error:
            yield ImportSkipped(f"{name}, line {number}", str(error))
    if not any(talks.values()):
        raise SourceEmptyError
    for ident, messages in talks.items():
        talk_read = Conversation(kind=KIND, id=ident, title="", messages=messages)
        yield from read_episodes(talk_read, limits)
