"""Which importer a path is for, and reading it with that one."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

from coffret_vault.ingest.archives import read_archive
from coffret_vault.ingest.chatgpt import chatgpt_conversations, read_chatgpt
from coffret_vault.ingest.chats import read_chats
from coffret_vault.ingest.claude import claude_conversations, read_claude
from coffret_vault.ingest.claude_memory import claude_memories, read_claude_memory
from coffret_vault.ingest.errors import (
    SourceEmptyError,
    SourceMissingError,
    SourceUnknownError,
)
from coffret_vault.ingest.everos import read_everos
from coffret_vault.ingest.export import is_export, read_export
from coffret_vault.ingest.folders import TEXT_SUFFIXES
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.markdown import read_file, read_folder
from coffret_vault.ingest.mem0 import read_mem0
from coffret_vault.ingest.reading import decode_json, is_list, json_lines, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from coffret_vault.ingest.draft import Imported


class SourceKind(StrEnum):
    """The kinds of sources that can be imported."""

    FOLDER = "folder"
    TEXT = "text"
    CHAT = "chat"
    EVEROS = "everos"
    CHATGPT = "chatgpt"
    CLAUDE = "claude"
    CLAUDE_MEMORY = "claude-memory"
    ARCHIVE = "archive"
    MEM0 = "mem0"
    EXPORT = "export"


class Reader(Protocol):
    """What every importer of a file is."""

    def __call__(self, path: Path, /, *, limits: Limits = ...) -> Iterator[Imported]:
        """Read ``path``."""


def _read_archive(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    return read_archive(path, lambda data: _IN_ARCHIVES.get(_of_json(data)), limits=limits)


_IN_ARCHIVES = {
    SourceKind.CHATGPT: chatgpt_conversations,
    SourceKind.CLAUDE: claude_conversations,
    SourceKind.CLAUDE_MEMORY: claude_memories,
}
READERS: Mapping[SourceKind, Reader] = {
    SourceKind.FOLDER: read_folder,
    SourceKind.TEXT: read_file,
    SourceKind.CHAT: read_chats,
    SourceKind.EVEROS: read_everos,
    SourceKind.CHATGPT: read_chatgpt,
    SourceKind.CLAUDE: read_claude,
    SourceKind.CLAUDE_MEMORY: read_claude_memory,
    SourceKind.ARCHIVE: _read_archive,
    SourceKind.MEM0: read_mem0,
    SourceKind.EXPORT: read_export,
}

_OF_OBJECT = (
    ("conversation_list", SourceKind.EVEROS),
    ("conversations", SourceKind.CHAT),
    ("messages", SourceKind.CHAT),
    ("results", SourceKind.MEM0),
    ("mapping", SourceKind.CHATGPT),
    ("chat_messages", SourceKind.CLAUDE),
    ("conversations_memory", SourceKind.CLAUDE_MEMORY),
    ("project_memories", SourceKind.CLAUDE_MEMORY),
)
_OF_ITEM = (
    ("mapping", SourceKind.CHATGPT),
    ("chat_messages", SourceKind.CLAUDE),
    ("conversations_memory", SourceKind.CLAUDE_MEMORY),
    ("project_memories", SourceKind.CLAUDE_MEMORY),
    ("messages", SourceKind.CHAT),
    ("memory", SourceKind.MEM0),
    ("content", SourceKind.CHAT),
)


_NONE = msgspec.Raw()


def read_source(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    """Read whatever is at ``path``: detect its kind and run that importer.

    Raises:
        IngestError: one of its subclasses, if the source as a whole cannot be imported.
    """
    return READERS[detect(path, limits=limits)](path, limits=limits)


def detect(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> SourceKind:
    """The kind of source at ``path``: by its name, and for JSON by its shape.

    An export of Coffret is known by its first line, whatever it is called.

    Raises:
        SourceMissingError: nothing is there.
        SourceUnknownError: it is of no kind that can be imported.
        SourceEmptyError: it is a JSON file with nothing in it.
        SourceDamagedError: it should be JSON and is not.
        SourceTooLargeError: it is over the cap.
    """
    if path.is_dir():
        return SourceKind.FOLDER
    if not path.exists():
        raise SourceMissingError
    if is_export(path):
        return SourceKind.EXPORT
    suffix = path.suffix.lower()
    if suffix in TEXT_SUFFIXES:
        return SourceKind.TEXT
    if suffix == ".jsonl":
        return _of_lines(read_bytes(path, limits.max_json_bytes))
    if suffix == ".json":
        return _of_json(read_bytes(path, limits.max_json_bytes))
    if suffix == ".zip":
        return SourceKind.ARCHIVE
    raise SourceUnknownError


def _of_lines(data: bytes) -> SourceKind:
    _, first = next(json_lines(data), (0, b""))
    if not first:
        raise SourceEmptyError
    return SourceKind.EXPORT if decode_json(first, _Members).format else SourceKind.CHAT


class _Members(msgspec.Struct, frozen=True):
    """The members of an object that tell kinds apart, still JSON; others are passed over.

    Nothing is made of what is passed over: what a file costs does not depend on what is in it.
    """

    conversation_list: msgspec.Raw = _NONE
    conversations: msgspec.Raw = _NONE
    messages: msgspec.Raw = _NONE
    results: msgspec.Raw = _NONE
    mapping: msgspec.Raw = _NONE
    chat_messages: msgspec.Raw = _NONE
    conversations_memory: msgspec.Raw = _NONE
    project_memories: msgspec.Raw = _NONE
    memory: msgspec.Raw = _NONE
    content: msgspec.Raw = _NONE
    format: msgspec.Raw = _NONE


class _First(msgspec.Struct, frozen=True, array_like=True):
    """The first item of a list, still JSON; others are passed over."""

    item: msgspec.Raw = _NONE


def _of_json(data: bytes) -> SourceKind:
    if not is_list(data):
        return _named(decode_json(data, _Members), _OF_OBJECT)
    first = decode_json(data, _First).item
    if not first:
        raise SourceEmptyError
    return _named(decode_json(first, _Members), _OF_ITEM)


def _named(members: _Members, kinds: tuple[tuple[str, SourceKind], ...]) -> SourceKind:
    for name, kind in kinds:
        if getattr(members, name):
            return kind
    raise SourceUnknownError
