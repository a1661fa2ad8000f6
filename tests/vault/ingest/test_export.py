"""Coffret's own export, and mem0's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.formats.memory import MAX_OWN_PAYLOAD
from coffret_vault.ingest import (
    Draft,
    ExportedMemory,
    ImportSkipped,
    Limits,
    SourceDamagedError,
    SourceEmptyError,
    SourceTooLargeError,
    SourceUnknownError,
    read_export,
    read_mem0,
    write_export,
)

if TYPE_CHECKING:
    from pathlib import Path

FULL = ExportedMemory(
    key="k",
    source="s",
    content="Olá\n\n\u202e \x07 text",
    title="T",
    summary="S",
    type="goal",
    tags=("a", "B"),
    importance=0.25,
    confidence=1.0,
    labels={"user": "ana"},
    metadata={"n": None, "deep": [1, {"x": 0.5}], "big": 2**63},
    created=1,
    updated=2,
    id="018f",
    version=3,
    status="approved",
    author="owner",
    reviewed_by="owner",
    reviewed_at=4,
    imported="0f" * 32,
)


def save(root: Path, data: bytes, name: str = "export.jsonl") -> Path:
    """Write a file."""
    path = root / name
    path.write_bytes(data)
    return path


def exported(*memories: Draft) -> list[bytes]:
    """The lines of an export."""
    return list(write_export(memories))


def test_an_export_is_lossless(tmp_path: Path) -> None:
    """Every field of a memory, and what only a vault knows, comes back."""
    assert list(read_export(save(tmp_path, b"".join(exported(FULL))))) == [FULL]


@pytest.mark.parametrize(
    "imported", ["", "0f" * 31, "0F" * 32, "0f" * 32 + "\n", "0f" * 33, 7, ["0f" * 32]]
)
def test_what_is_no_digest_is_taken_for_none(tmp_path: Path, imported: Any) -> None:
    """A line that says something else of its piece is skipped, as any that does not read."""
    head, line, end = exported(FULL)
    changed = json.dumps({**json.loads(line), "imported": imported}).encode() + b"\n"
    (item,) = read_export(save(tmp_path, head + changed + end))
    assert isinstance(item, ImportSkipped)


def test_the_shape_of_an_export_is_stable() -> None:
    """The header, the line of a memory and the end are as documented."""
    header, line, end = exported(Draft(key="k", source="s", content="c"))
    assert header == b'{"format":"coffret-export","version":1}\n'
    assert list(json.loads(line)) == list(Draft.__struct_fields__)
    assert end == b'{"end":1}\n'


@pytest.mark.parametrize(
    ("cut", "imported", "reasons"),
    [
        (3, 2, ["the export was cut short: its last line is missing"]),
        (1, 0, ["the export was cut short: its last line is missing"]),
    ],
)
def test_an_export_that_was_cut_short_says_so(
    tmp_path: Path, cut: int, imported: int, reasons: list[str]
) -> None:
    """What is there is imported, and the loss is reported."""
    lines = exported(FULL, FULL)[:cut]
    items = list(read_export(save(tmp_path, b"".join(lines))))
    assert len([item for item in items if isinstance(item, Draft)]) == imported
    assert [item.reason for item in items if isinstance(item, ImportSkipped)] == reasons


def test_a_line_that_was_removed_is_noticed(tmp_path: Path) -> None:
    """The end counts the lines."""
    lines = exported(FULL, FULL)
    del lines[1]
    *_, last = read_export(save(tmp_path, b"".join(lines)))
    assert isinstance(last, ImportSkipped)
    assert last.reason.startswith("the export is not whole")


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b'{"key":"k"}',
        b'{"key":"k","source":"s","content":" "}',
        b'{"key":"k","source":"s","content":"c","importance":2}',
        b'{"key":"k","source":"s","content":"c","created":-1}',
        b'{"key":"k","source":"s","content":"c","tags":"travel"}',
        b'{"key":"k","source":"s","content":"' + b"x" * 200 + b'"}',
        b'{"key":"k","source":"s","content":"c","title":"' + b"x" * 600 + b'"}',
        b'{"key":"k","source":"s","content":"c","tags":["' + b"x" * 65 + b'"]}',
        b'{"key":"k","source":"s","content":"c","tags":[""]}',
        b'{"key":"k","source":"s","content":"c","metadata":{"n":99999999999999999999}}',
        b'{"key":"k","source":"s","content":"c","metadata":{"n":"'
        + b"x" * MAX_OWN_PAYLOAD
        + b'"}}',
    ],
)
def test_a_bad_line_costs_only_itself(tmp_path: Path, line: bytes) -> None:
    """A damaged memory is named by its line, and the next one is imported."""
    lines = exported(FULL, FULL)
    lines[1] = line + b"\n"
    items = list(read_export(save(tmp_path, b"".join(lines)), limits=Limits(max_content_bytes=100)))
    assert [item.source for item in items if isinstance(item, ImportSkipped)] == [
        "export.jsonl, line 2"
    ]
    assert [item for item in items if isinstance(item, Draft)] == [FULL]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", SourceDamagedError),
        (b"\n\n", SourceDamagedError),
        (b'{"format":"other","version":1}', SourceDamagedError),
        (b'{"format":"coffret-export","version":2}', SourceUnknownError),
    ],
)
def test_a_file_without_our_header_is_refused(
    tmp_path: Path, data: bytes, error: type[Exception]
) -> None:
    """An unknown version is an error and never a guess."""
    with pytest.raises(error):
        read_export(save(tmp_path, data))


def test_a_file_over_the_cap_is_refused_unread(tmp_path: Path) -> None:
    """The error names the cap."""
    with pytest.raises(SourceTooLargeError, match="larger than 10 bytes"):
        read_export(save(tmp_path, b"x" * 11), limits=Limits(max_json_bytes=10))


def test_mem0_memories_keep_ids_times_and_metadata(tmp_path: Path) -> None:
    """Its categories, guessed by a model from the text, become no tags and no title."""
    memory = {
        "id": "m1",
        "memory": "Allergic to walnuts",
        "hash": "x",
        "metadata": {"source": "chat"},
        "categories": ["health"],
        "created_at": "2024-05-02T05:00:00.123456-07:00",
        "updated_at": None,
        "user_id": "ana",
        "run_id": "r1",
    }
    path = save(tmp_path, json.dumps({"results": [memory]}).encode(), "mem0.json")
    assert list(read_mem0(path)) == [
        Draft(
            key="mem0:m1",
            source="mem0:m1",
            content="Allergic to walnuts",
            title="Memory from mem0, 2024-05-02",
            labels={"user": "ana", "session": "r1"},
            metadata={"source": "chat", "categories": ["health"]},
            created=1_714_651_200_123_456,
        )
    ]


def test_bad_mem0_memories_cost_only_themselves(tmp_path: Path) -> None:
    """A blank, a nameless and a huge one are named by their positions."""
    memories = [
        {"id": "1", "memory": " "},
        {"memory": "x"},
        {"id": "3", "memory": "x" * 200},
        {"id": "4", "memory": "good"},
    ]
    path = save(tmp_path, json.dumps(memories).encode(), "mem0.json")
    items = list(read_mem0(path, limits=Limits(max_content_bytes=100)))
    assert [item.source for item in items if isinstance(item, ImportSkipped)] == [
        f"mem0.json, memory {number}" for number in (1, 2, 3)
    ]
    assert [item.content for item in items if isinstance(item, Draft)] == ["good"]


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"{}", SourceDamagedError), (b'{"results":[]}', SourceEmptyError), (b"[]", SourceEmptyError)],
)
def test_a_mem0_file_without_memories_is_refused(
    tmp_path: Path, data: bytes, error: type[Exception]
) -> None:
    """Nothing to import is an error, with its own class."""
    with pytest.raises(error):
        read_mem0(save(tmp_path, data, "mem0.json"))
