"""ChatGPT's ``conversations.json``: a list of conversations, each a tree of messages.

Regenerated answers and edited questions are branches of the tree; the branch that the person saw
last (``current_node``) is imported. System prompts, hidden messages, tool calls and their output
are machinery and left out; images and files appear as ``[attachment]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.episodes import read_conversations
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.names import printable_path
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

KIND = "chatgpt"
ATTACHMENT = "[attachment]"

_SPOKEN = frozenset({"text", "multimodal_text"})


class _Author(msgspec.Struct):
    role: str | None = None


class _Content(Unshown, msgspec.Struct):
    content_type: str = "text"
    parts: list[object] | None = None


class _Metadata(msgspec.Struct):
    is_visually_hidden_from_conversation: bool | None = None


class _Message(msgspec.Struct):
    author: _Author
    content: _Content
    id: str | None = None
    create_time: float | None = None
    metadata: _Metadata | None = None
    recipient: str | None = None


class _Node(msgspec.Struct):
    message: msgspec.Raw = msgspec.Raw(b"null")
    parent: str | None = None
    children: list[str] | None = None


class _Conversation(Unshown, msgspec.Struct):
    mapping: dict[str, _Node]
    current_node: str | None = None
    title: str | None = None
    id: str | None = None
    conversation_id: str | None = None
    create_time: float | None = None


def read_chatgpt(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    """Read ``conversations.json`` of a ChatGPT export.

    Raises:
        SourceDamagedError: the file is not a JSON list.
        SourceEmptyError: the list is empty.
    """
    data = read_json(path, limits.max_json_bytes)
    return chatgpt_conversations(data, printable_path([path.name]), limits)


def chatgpt_conversations(data: bytes, name: str, limits: Limits) -> Iterator[Imported]:
    """As :func:`read_chatgpt`, from the bytes of a file of this name."""
    return read_conversations(decode_json(data, list[msgspec.Raw]), name, _conversation, limits)


def _conversation(raw: msgspec.Raw) -> tuple[Conversation, Turns]:
    talk = decode_json(raw, _Conversation)
    turns = read_turns(_branch(talk), _turn)
    conversation = Conversation(
        kind=KIND,
        id=talk.conversation_id or talk.id or "",
        title=talk.title or "",
        messages=turns.messages,
        created=parse_time(talk.create_time),
    )
    return conversation, turns


def _branch(talk: _Conversation) -> list[msgspec.Raw]:
    """The messages from the root to the current node; a cycle, which is damage, ends the walk."""
    path: dict[str, msgspec.Raw] = {}
    at = talk.current_node if talk.current_node in talk.mapping else _last_leaf(talk)
    while at is not None and at in talk.mapping and at not in path:
        path[at] = talk.mapping[at].message
        at = talk.mapping[at].parent
    return list(reversed(path.values()))


def _last_leaf(talk: _Conversation) -> str | None:
    leaves = [name for name, node in talk.mapping.items() if not node.children]
    return leaves[-1] if leaves else None


def _turn(raw: msgspec.Raw, position: str) -> Message | None:
    if bytes(raw) == b"null":
        return None
    message = decode_json(raw, _Message)
    if not _shown(message):
        return None
    text = _text(message.content)
    role = role_of(message.author.role)
    return (
        None
        if not text
        else Message(
            id=message.id or position,
            sender=sender_name(None, role),
            text=text,
            time=parse_time(message.create_time),
            role=role,
        )
    )


def _shown(message: _Message) -> bool:
    hidden = message.metadata and message.metadata.is_visually_hidden_from_conversation
    return (
        not hidden
        and message.author.role in {"user", "assistant"}
        and message.recipient in {None, "all"}
        and message.content.content_type in _SPOKEN
    )


def _text(content: _Content) -> str:
    parts = (part if isinstance(part, str) else ATTACHMENT for part in content.parts or [])
    return "\n\n".join(part.strip("\n").rstrip() for part in parts if part.strip())
