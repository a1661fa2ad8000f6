"""The right importer is found for a path."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.errors import CoffretError
from coffret_vault.ingest import (
    Draft,
    ImportSkipped,
    IngestError,
    Limits,
    SourceDamagedError,
    SourceEmptyError,
    SourceKind,
    SourceMissingError,
    SourceTooLargeError,
    SourceUnknownError,
    detect,
    read_source,
)

if TYPE_CHECKING:
    from pathlib import Path

KINDS: list[tuple[str, object, SourceKind]] = [
    ("a.md", "text", SourceKind.TEXT),
    ("a.MARKDOWN", "text", SourceKind.TEXT),
    ("a.json", {"conversations": []}, SourceKind.CHAT),
    ("a.json", {"messages": []}, SourceKind.CHAT),
    ("a.json", [{"messages": []}], SourceKind.CHAT),
    ("a.json", [{"role": "user", "content": "x"}], SourceKind.CHAT),
    ("a.jsonl", {"content": "x"}, SourceKind.CHAT),
    ("a.jsonl", {"format": "coffret-export", "version": 1}, SourceKind.EXPORT),
    ("a.json", {"format": "coffret-export", "version": 1}, SourceKind.EXPORT),
    ("a.json", '{"format":"coffret-export","version":1}\n{"end":0}\n', SourceKind.EXPORT),
    ("a.txt", '{"format":"coffret-export","version":1}\n{"end":0}\n', SourceKind.EXPORT),
    ("a", '{"format":"coffret-export","version":1}\n{"end":0}\n', SourceKind.EXPORT),
    ("a.txt", '{"format":"other","version":1}\n', SourceKind.TEXT),
    ("a.json", {"conversation_list": []}, SourceKind.EVEROS),
    ("a.json", [{"mapping": {}}], SourceKind.CHATGPT),
    ("a.json", [{"uuid": "x", "chat_messages": []}], SourceKind.CLAUDE),
    ("a.json", [{"conversations_memory": "x"}], SourceKind.CLAUDE_MEMORY),
    ("a.json", {"project_memories": {}}, SourceKind.CLAUDE_MEMORY),
    ("a.zip", "x", SourceKind.ARCHIVE),
    ("a.json", {"results": []}, SourceKind.MEM0),
    ("a.json", [{"id": "x", "memory": "y"}], SourceKind.MEM0),
    ("a.json", [{"header": "Gemini Apps", "title": "Prompted x"}], SourceKind.GEMINI),
    ("a.jsonl", {"type": "entity", "name": "x", "observations": []}, SourceKind.MCP_MEMORY),
    ("memory.json", '{"type":"relation"}\n{"type":"entity"}\n', SourceKind.MCP_MEMORY),
    ("a.json", {"entities": [], "relations": []}, SourceKind.MCP_MEMORY),
    ("a.json", {"memories": [], "pagination": {}}, SourceKind.SUPERMEMORY),
    ("a.json", {"memoryEntries": []}, SourceKind.SUPERMEMORY),
    ("a.json", [{"id": "x", "memory": "y", "containerTags": []}], SourceKind.SUPERMEMORY),
]


@pytest.mark.parametrize(("name", "whole", "kind"), KINDS)
def test_kinds_are_told_apart(tmp_path: Path, name: str, whole: object, kind: SourceKind) -> None:
    """Names decide for texts, the outer shape for JSON, and an export's first line before both."""
    path = tmp_path / name
    path.write_text(whole if isinstance(whole, str) else json.dumps(whole))
    assert detect(path) is kind
    assert detect(tmp_path) is SourceKind.FOLDER


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("a.pdf", "x", SourceUnknownError),
        ("a.zip", "x", SourceDamagedError),
        ("a.json", "{}", SourceUnknownError),
        ("a.json", '[{"a": 1}]', SourceUnknownError),
        ("a.json", "[]", SourceEmptyError),
        ("a.jsonl", " \n", SourceEmptyError),
        ("a.json", "[5]", SourceDamagedError),
        ("a.json", "", SourceDamagedError),
        ("a.json", "x" * 200, SourceTooLargeError),
        ("gone.md", None, SourceMissingError),
    ],
)
def test_what_cannot_be_imported_is_refused_with_its_own_error(
    tmp_path: Path, name: str, text: str | None, error: type[IngestError]
) -> None:
    """Each refusal has a class of its own, of one tree."""
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(error) as caught:
        read_source(path, limits=Limits(max_json_bytes=100))
    assert isinstance(caught.value, CoffretError)
    assert type(caught.value) is error


def test_a_source_is_read_with_its_importer(tmp_path: Path) -> None:
    """Detection and reading agree."""
    path = tmp_path / "a.json"
    path.write_text('[{"content": "Hello"}]')
    (item,) = read_source(path)
    assert isinstance(item, Draft)
    assert item.content == "Someone: Hello"


def _chat(people: int, days: int) -> dict[str, Any]:
    """A made-up chat of some people in the shape of EverOS: nine messages a day."""
    said = ("Is anybody up?", "Coffee first.\n\nThen we talk.  ", "- one\n- two", "Où ça ? 🙂")
    return {
        "session_meta": {
            "name": "Kitchen",
            "group_id": "g-1",
            "created_at": "2025-03-01T08:00:00+00:00",
            "tags": ["Home"],
            "user_details": {f"u{who}": {"full_name": f"Person {who}"} for who in range(people)},
        },
        "conversation_list": [
            {
                "message_id": f"m-{day}-{hour}",
                "create_time": f"2025-03-{day + 1:02}T{hour + 8:02}:{7 * hour % 60:02}:00+00:00",
                "sender": f"u{(day + hour) % people}",
                "sender_name": f"Person {(day + hour) % people}",
                "type": "text",
                "content": f"{said[(day * 9 + hour) % len(said)]} ({day}, {hour})",
            }
            for day in range(days)
            for hour in range(9)
        ],
    }


@pytest.mark.parametrize(("people", "days"), [(2, 12), (5, 30)])
def test_every_message_of_a_long_chat_is_in_one_episode(
    tmp_path: Path, people: int, days: int
) -> None:
    """A chat of days becomes episodes with keys of their own, and none of it is lost or twice."""
    path = tmp_path / "chat.json"
    whole = _chat(people, days)
    path.write_text(json.dumps(whole), encoding="utf-8")
    assert detect(path) is SourceKind.EVEROS
    items = list(read_source(path))
    drafts = [item for item in items if isinstance(item, Draft)]
    assert not [item for item in items if isinstance(item, ImportSkipped)]
    assert len(drafts) >= days
    assert len({draft.key for draft in drafts}) == len(drafts)
    text = "\n\n".join(draft.content for draft in drafts)
    said = [entry["content"] for entry in whole["conversation_list"]]
    assert len(said) == days * 9
    assert [text.count(message) for message in said] == [1] * len(said)
