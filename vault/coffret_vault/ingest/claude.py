"""Claude's ``conversations.json``: a list of conversations with ``chat_messages``.

The words of both sides are imported. Thinking, tool use and its results are machinery and left
out; attached files appear by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.episodes import read_conversations
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.names import clean_line, printable_path
from coffret_vault.ingest.reading import decode_json, read_json
from coffret_vault.ingest.times import parse_time
from coffret_vault.ingest.turns import (
    Conversation,
    Message,
    Turns,
    read_turns,
    role_of,
    sender_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret_vault.ingest.draft import Imported

KIND = "claude"


class _Block(Unshown, msgspec.Struct):
    type: str = ""
    text: str | None = None


class _File(msgspec.Struct):
    file_name: str | None = None


class _Message(Unshown, msgspec.Struct):
    uuid: str | None = None
    sender: str | None = None
    text: str | None = None
    content: list[_Block] | None = None
    created_at: str | None = None
    attachments: list[_File] | None = None
    files: list[_File] | None = None


class _Conversation(msgspec.Struct):
    chat_messages: list[msgspec.Raw]
    uuid: str | None = None
    name: str | None = None
    created_at: str | None = None


def read_claude(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    """Read ``conversations.json`` of a Claude export.

    Raises:
        SourceDamagedError: the file is not a JSON list.
        SourceEmptyError: the list is empty.
    """
    data = read_json(path, limits.max_json_bytes)
    return claude_conversations(data, printable_path([path.name]), limits)


def claude_conversations(data: bytes, name: str, limits: Limits) -> Iterator[Imported]:
    """As :func:`read_claude`, from the bytes of a file of this name."""
    return read_conversations(decode_json(data, list[msgspec.Raw]), name, _conversation, limits)


def _conversation(raw: msgspec.Raw) -> tuple[Conversation, Turns]:
    talk = decode_json(raw, _Conversation)
    turns = read_turns(talk.chat_messages, _turn)
    conversation = Conversation(
        kind=KIND,
        id=talk.uuid or "",
        title=talk.name or "",
        messages=turns.messages,
        created=parse_time(talk.created_at),
    )
    return conversation, turns


def _turn(raw: msgspec.Raw, position: str) -> Message | None:
    message = decode_json(raw, _Message)
    text = _text(message)
    role = role_of(message.sender)
    return (
        None
        if not text
        else Message(
            id=message.uuid or position,
            sender=sender_name(None, role),
            text=text,
            time=parse_time(message.created_at),
            role=role,
        )
    )


def _text(message: _Message) -> str:
    blocks = [block.text or "" for block in message.content or [] if block.type == "text"]
    words = [words for words in blocks if words.strip()] or [message.text or ""]
    files = [*(message.attachments or []), *(message.files or [])]
    names = [f"[attachment: {clean_line(file.file_name or 'file')}]" for file in files]
    return "\n\n".join(part.strip("\n").rstrip() for part in [*words, *names] if part.strip())
