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
from coffret_vault.ingest.gemini import gemini_activities, read_gemini
from coffret_vault.ingest.graph import is_graph_line, read_graph
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.markdown import read_file, read_folder
from coffret_vault.ingest.mem0 import read_mem0
from coffret_vault.ingest.reading import decode_json, is_list, json_lines, read_json
from coffret_vault.ingest.supermemory import LISTS, read_supermemory

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
    GEMINI = "gemini"
    MEM0 = "mem0"
    MCP_MEMORY = "mcp-memory"
    SUPERMEMORY = "supermemory"
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
    SourceKind.GEMINI: gemini_activities,
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
    SourceKind.GEMINI: read_gemini,
    SourceKind.MEM0: read_mem0,
    SourceKind.MCP_MEMORY: read_graph,
    SourceKind.SUPERMEMORY: read_supermemory,
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
    ("entities", SourceKind.MCP_MEMORY),
    ("relations", SourceKind.MCP_MEMORY),
    *((name, SourceKind.SUPERMEMORY) for name in LISTS),
)
_OF_ITEM = (
    ("mapping", SourceKind.CHATGPT),
    ("chat_messages", SourceKind.CLAUDE),
    ("conversations_memory", SourceKind.CLAUDE_MEMORY),
    ("project_memories", SourceKind.CLAUDE_MEMORY),
    ("messages", SourceKind.CHAT),
    ("containerTags", SourceKind.SUPERMEMORY),
    ("containerTag", SourceKind.SUPERMEMORY),
    ("spaceContainerTag", SourceKind.SUPERMEMORY),
    ("memoryEntries", SourceKind.SUPERMEMORY),
    ("memory", SourceKind.MEM0),
    ("content", SourceKind.CHAT),
    ("header", SourceKind.GEMINI),
)


_HTML = frozenset((".html", ".htm"))
_OTHER_FORM = "where a program exports HTML or JSON, as Google Takeout does, choose JSON"
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
        return _of_lines(read_json(path, limits.max_json_bytes))
    if suffix == ".json":
        return _of_json(read_json(path, limits.max_json_bytes))
    if suffix == ".zip":
        return SourceKind.ARCHIVE
    raise SourceUnknownError(hint=_OTHER_FORM if suffix in _HTML else "")


def _of_lines(data: bytes) -> SourceKind:
    _, first = next(json_lines(data), (0, b""))
    if not first:
        raise SourceEmptyError
    if is_graph_line(first):
        return SourceKind.MCP_MEMORY
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
    entities: msgspec.Raw = _NONE
    relations: msgspec.Raw = _NONE
    memories: msgspec.Raw = _NONE
    documents: msgspec.Raw = _NONE
    memoryEntries: msgspec.Raw = _NONE  # noqa: N815 - as it is called there
    containerTags: msgspec.Raw = _NONE  # noqa: N815
    containerTag: msgspec.Raw = _NONE  # noqa: N815
    spaceContainerTag: msgspec.Raw = _NONE  # noqa: N815
    header: msgspec.Raw = _NONE
    memory: msgspec.Raw = _NONE
    content: msgspec.Raw = _NONE
    format: msgspec.Raw = _NONE


class _First(msgspec.Struct, frozen=True, array_like=True):
    """The first item of a list, still JSON; others are passed over."""

    item: msgspec.Raw = _NONE


def _of_json(data: bytes) -> SourceKind:
    if not is_list(data):
        if is_graph_line(next(json_lines(data), (0, b""))[1]):
            return SourceKind.MCP_MEMORY  # lines, in a file that is called .json by default
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
