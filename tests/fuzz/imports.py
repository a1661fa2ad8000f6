"""Import: any file gives drafts that a vault can take, and reasons for the rest."""

from __future__ import annotations

import tempfile
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import msgspec

from coffret.importing import _new
from coffret_vault.errors import InputError
from coffret_vault.formats.author import OWNER
from coffret_vault.ingest import (
    Draft,
    ExportedMemory,
    ImportSkipped,
    read_export,
    read_source,
    write_export,
)
from coffret_vault.ingest.detection import READERS, SourceKind
from coffret_vault.ingest.errors import IngestError
from coffret_vault.ingest.front_matter import split_front_matter
from coffret_vault.ingest.html_text import text_of
from coffret_vault.ingest.limits import Limits
from coffret_vault.records.seal import Stamp, seal_version
from fuzz.target import Target
from vectors.making.book import Steady
from vectors.making.samples import ACCOUNT_ID, CREATED, MEMORY_ID, secret

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMITS = Limits(section_chars=60, episode_chars=120)
_STAMP = Stamp(ACCOUNT_ID, MEMORY_ID, 1, 1, OWNER, CREATED, CREATED)
_NAMES = {
    SourceKind.TEXT: "note.md",
    SourceKind.CHAT: "chat.jsonl",
    SourceKind.EXPORT: "export.jsonl",
    SourceKind.ARCHIVE: "export.zip",
}


def _check(kind: SourceKind, data: bytes) -> None:
    """Read as what it is said to be, and as what its shape says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _NAMES.get(kind, "source.json")
        path.write_bytes(data)
        for read in (READERS[kind], read_source):
            try:
                items = list(read(path, limits=_LIMITS))
            except IngestError:
                continue
            assert all(isinstance(item, Draft | ImportSkipped) for item in items)
            check_drafts(Path(folder), [item for item in items if isinstance(item, Draft)])


def check_drafts(folder: Path, drafts: list[Draft]) -> None:
    """Every draft can be sealed as it is, and comes back from an export."""
    for draft in drafts:
        assert draft.content.strip()
        try:
            for sealed in (False, True):
                fields, random = _new(draft, sealed, "run").fields, Steady("import")
                seal_version(_STAMP, fields, secret("import"), random=random)
        except InputError as error:
            message = f"a draft that no vault takes: {error}"
            raise AssertionError(message) from error
    out = folder / "out.jsonl"
    out.write_bytes(b"".join(write_export(drafts)))
    names = Draft.__struct_fields__
    again = [item for item in read_export(out) if isinstance(item, ExportedMemory)]
    assert len(again) == len(drafts)
    for draft, back in zip(drafts, again, strict=True):
        for name in names:
            assert getattr(back, name) == getattr(draft, name), name


def _check_front_matter(data: bytes) -> None:
    """Fields are what JSON can hold, and the text after them is the end of the text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    fields, rest = split_front_matter(text)
    assert text.endswith(rest)
    assert bool(rest) or not text or len(text) >= len("---\n---")
    assert msgspec.json.decode(msgspec.json.encode(fields)) == fields
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(fields)) == fields


_JSON: dict[SourceKind, tuple[object, ...]] = {
    SourceKind.CHAT: (
        {
            "messages": [
                {"role": "user", "content": "I like tea.", "timestamp": "2024-05-02T10:00:00Z"},
                {"role": "assistant", "content": [{"type": "text", "text": "Noted."}]},
            ]
        },
        {"conversations": [{"id": "a", "title": "Tea", "messages": [{"role": "user"}]}]},
        {"role": "user", "content": "I moved to Porto.", "created_at": 1714644000},
    ),
    SourceKind.EVEROS: (
        {
            "version": "1.0",
            "conversation_meta": {"group_id": "g", "created_at": "2025-06-26T00:00:00Z"},
            "conversation_list": [
                {
                    "message_id": "1",
                    "create_time": "2025-06-26T00:00:00Z",
                    "sender": "ada",
                    "sender_name": "Ada",
                    "content": "I take the train.",
                }
            ],
        },
    ),
    SourceKind.MEM0: (
        {
            "results": [
                {
                    "id": "1",
                    "memory": "Likes hiking",
                    "created_at": "2024-05-02T10:00:00.000-07:00",
                    "metadata": {"category": "hobby"},
                    "categories": ["sport"],
                    "user_id": "ada",
                    "score": 0.5,
                }
            ]
        },
        [{"id": "2", "memory": "Is vegetarian", "updated_at": None}],
    ),
    SourceKind.CLAUDE: (
        [
            {
                "uuid": "1",
                "name": "Trip",
                "created_at": "2024-05-02T10:00:00Z",
                "chat_messages": [
                    {
                        "sender": "human",
                        "text": "Plan Porto",
                        "content": [{"type": "text", "text": "Plan Porto"}],
                        "attachments": [{"file_name": "a.txt", "extracted_content": "hi"}],
                    }
                ],
            }
        ],
    ),
    SourceKind.CLAUDE_MEMORY: (
        [
            {
                "conversations_memory": "**Work context**\n\nAda is a nurse.",
                "project_memories": {"p": "Tomatoes."},
                "account_uuid": "1",
            }
        ],
        {"conversations_memory": "Ada gardens."},
    ),
    SourceKind.CHATGPT: (
        [
            {
                "title": "Trip",
                "create_time": 1714644000.5,
                "current_node": "b",
                "mapping": {
                    "a": {"id": "a", "message": None, "parent": None, "children": ["b"]},
                    "b": {
                        "id": "b",
                        "parent": "a",
                        "message": {
                            "author": {"role": "user"},
                            "create_time": 1714644001.0,
                            "content": {"content_type": "text", "parts": ["Plan Porto"]},
                        },
                    },
                },
            }
        ],
    ),
}
_JSON |= {
    SourceKind.GEMINI: (
        [
            {
                "header": "Gemini Apps",
                "title": "Prompted\u00a0Where do figs grow?",
                "time": "2024-05-02T10:00:00.123Z",
                "products": ["Gemini Apps"],
                "safeHtmlItem": [{"html": "<h2>Figs</h2><p>In <b>Porto</b> &amp; &#101;lse.</p>"}],
            },
            {"header": "YouTube", "title": "Watched figs", "products": ["YouTube"]},
        ],
    ),
    SourceKind.MCP_MEMORY: (
        {
            "entities": [
                {"name": "Ana", "entityType": "person", "observations": ["Likes figs"]},
            ],
            "relations": [{"from": "Ana", "to": "Porto", "relationType": "lives in"}],
        },
        {"type": "relation", "from": "Ana", "to": "Porto", "relationType": "lives in"},
    ),
    SourceKind.SUPERMEMORY: (
        {
            "memories": [
                {
                    "id": "1",
                    "title": "Figs",
                    "content": "Ana likes figs.",
                    "summary": "Figs.",
                    "containerTags": ["ana", "food"],
                    "metadata": {"a": 1},
                    "createdAt": "2024-05-02T10:00:00.000Z",
                    "memoryEntries": [{"id": "2", "memory": "Figs are liked.", "isLatest": True}],
                }
            ],
            "pagination": {"currentPage": 1, "totalPages": 2},
        },
        [{"id": "3", "memory": "Gone", "isForgotten": True, "containerTag": "ana"}],
    ),
}
_IN_ARCHIVES = (SourceKind.CHATGPT, SourceKind.CLAUDE, SourceKind.CLAUDE_MEMORY, SourceKind.GEMINI)
_NOTES = (
    "---\ntitle: Tea\ntags: [a, b]\ncreated: 2024-05-02\nimportance: 0.5\nmore: {x: [1, ~]}\n---\n"
    "# Tea\n\nI like tea. #green\n\n## Later\n\n" + "Long text about tea. " * 8,
    "# One\n\n```\n# not\n```\n\n- item\n\n## 2024-05-02\n\ntext\n\nSetext\n===\n\nend\n",
    "---\ntitle: Re: the boat\n---\nwords",
    '+++\ntitle = "Tea"\ndate = 2024-05-02T10:00:00Z\ntags = ["a"]\n[b]\nx.y = [1, 0.5]\n+++\nText',
)


def _deep() -> dict[str, object]:
    """Metadata that is nested deeper than a vault takes."""
    value: dict[str, object] = {}
    for _ in range(40):
        value = {"a": value}
    return value


def _seeds(kind: SourceKind) -> Iterator[bytes]:
    if kind is SourceKind.TEXT:
        yield from (note.encode() for note in _NOTES)
        yield "\ufeffBOM".encode("utf-16")
        yield "Un café à Besançon".encode("cp1252")
    if kind is SourceKind.EXPORT:
        whole = ExportedMemory(
            key="k", source="s", content="c", title="t", tags=("a",), importance=0.5,
            metadata={"a": [1]}, created=1, valid_from=2, author="owner", provenance={"a": "b"},
        )  # fmt: skip
        yield b"".join(write_export([whole, Draft(key="k2", source="s", content="c2")]))
        longer = "\u0958"  # NFC makes two of it
        for spoilt in ({"title": longer * 170}, {"tags": (longer * 21,)}, {"metadata": _deep()}):
            draft = msgspec.structs.replace(whole, **spoilt)
            yield b"".join(write_export([draft]))
    if kind is SourceKind.ARCHIVE:
        for method in (ZIP_STORED, ZIP_DEFLATED):
            with BytesIO() as file:
                with ZipFile(file, "w", method) as archive:
                    for name, value in enumerate(chain(*(_JSON[one] for one in _IN_ARCHIVES))):
                        archive.writestr(f"{name}.json", msgspec.json.encode(value))
                yield file.getvalue()
    yield from (msgspec.json.encode(value) for value in _JSON.get(kind, ()))


def _check_html(data: bytes) -> None:
    """Any HTML gives text that no reference or tag of ours is left in, in time."""
    try:
        source = data.decode()
    except UnicodeDecodeError:
        return
    text = text_of(source, len(source))
    assert text == text.strip("\n")
    assert len(text) <= 8 * len(source)


def _html_seeds() -> Iterator[bytes]:
    yield b"<p>a &lt; <b>b</b></p><ul><li>c</li></ul><pre><code>d\n  e</code></pre><script>f"
    yield b"<table><tr><td>1</td></tr></table><h1>x</h1><br/>&#0;&#1114112;&bogus;<!-- c --><"


def _front_matter_seeds() -> Iterator[bytes]:
    yield from (note.encode() for note in _NOTES)
    yield b"---\na: |\n  text\nb: !!set {1, 2}\nc: 0x10\n? d\n: !!binary aGk=\n...\n"
    yield b"---\na: &x [1]\nb: *x\n---\n"
    for value in (b"bool x", b"int ''", b"timestamp x", b"int 1:1", b"float .inf", b"omap [a]"):
        yield b"---\na: !!" + value + b"\n---\n"


TARGETS = (
    *(
        Target(f"import-{kind.value}", partial(_check, kind), partial(_seeds, kind))
        for kind in READERS
        if kind is not SourceKind.FOLDER
    ),
    Target("html-text", _check_html, _html_seeds, 4096),
    Target("front-matter", _check_front_matter, _front_matter_seeds, 1024),
)
