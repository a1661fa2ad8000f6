"""The right importer is found for a path."""

from __future__ import annotations

import json
import os
from pathlib import Path

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

SHARED = Path(os.environ.get("COFFRET_SHARED", Path(__file__).parents[4] / "shared"))

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
    ("a.json", {"results": []}, SourceKind.MEM0),
    ("a.json", [{"id": "x", "memory": "y"}], SourceKind.MEM0),
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
        ("a.zip", "x", SourceUnknownError),
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


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the shared conversations are not here")
@pytest.mark.parametrize(
    ("name", "messages", "least"), [("solo_chat_en.json", 104, 10), ("team_chat_en.json", 509, 50)]
)
def test_conversations_that_nobody_here_wrote(name: str, messages: int, least: int) -> None:
    """Every message of a real-shaped conversation is in exactly one episode."""
    path = SHARED / "data" / name
    items = list(read_source(path))
    drafts = [item for item in items if isinstance(item, Draft)]
    assert not [item for item in items if isinstance(item, ImportSkipped)]
    assert len(drafts) >= least
    assert len({draft.key for draft in drafts}) == len(drafts)
    texts = [entry["content"] for entry in json.loads(path.read_bytes())["conversation_list"]]
    assert len(texts) == messages
    whole = "\n\n".join(draft.content for draft in drafts)
    assert all(text.rstrip() in whole for text in texts)
