"""Exports in the archives that they are downloaded in."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
from typing import TYPE_CHECKING
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZipFile

import pytest

from coffret_vault.ingest import (
    Draft,
    ImportSkipped,
    Limits,
    SourceDamagedError,
    SourceEmptyError,
    SourceMissingError,
    SourceTooLargeError,
    SourceUnknownError,
    detect,
    read_source,
)
from coffret_vault.ingest.archives import NOT_TAKEN
from coffret_vault.ingest.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def _chatgpt(ident: str, said: str) -> dict[str, object]:
    message = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": [said]}}
    return {"id": ident, "title": ident, "mapping": {"a": {"message": message}}}


def _claude(said: str) -> dict[str, object]:
    return {"uuid": "c", "name": "Figs", "chat_messages": [{"sender": "human", "text": said}]}


def _zip(path: Path, files: Mapping[str, object]) -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, whole in files.items():
            archive.writestr(name, whole if isinstance(whole, str) else json.dumps(whole))
    return path


def test_an_archive_gives_what_its_files_give(tmp_path: Path) -> None:
    """Imported from the archive or from the file in it, a conversation has one key and text."""
    talks = [_chatgpt("one", "Figs?"), _chatgpt("two", "Nuts?")]
    alone = tmp_path / "conversations.json"
    alone.write_text(json.dumps(talks))
    archive = _zip(
        tmp_path / "export.zip",
        {"conversations-000.json": talks[:1], "in/conversations-001.json": talks[1:]},
    )
    assert list(read_source(archive)) == list(read_source(alone))


def test_all_of_claudes_export_is_read_or_named(tmp_path: Path) -> None:
    """Conversations and what Claude remembers are imported; every other file is named."""
    remembered = {"conversations_memory": "Ana likes figs.\n", "project_memories": {"p": "Soil."}}
    archive = _zip(
        tmp_path / "claude.zip",
        {
            "folder/": "",
            "conversations.json": [_claude("Hello")],
            "memories.json": [{**remembered, "account_uuid": "acc"}],
            "projects.json": [{"uuid": "p", "name": "Garden"}],
            "users.json": "[]",
            "broken.json": "[",
            "__MACOSX/._memories.json": "{}",
            "../../evil\x1b.txt": "x",
        },
    )
    found = list(read_source(archive))
    drafts = [item for item in found if isinstance(item, Draft)]
    assert [(draft.key.partition("#")[0], draft.content) for draft in drafts[1:]] == [
        ("claude:memory/acc", "Ana likes figs."),
        ("claude:memory/acc/p", "Soil."),
    ]
    assert drafts[0].content == "Me: Hello"
    skipped = [item for item in found if isinstance(item, ImportSkipped)]
    assert {item.reason for item in skipped} == {NOT_TAKEN}
    assert len(skipped) == 5
    assert all("\x1b" not in item.source for item in skipped)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["claude.zip"]


def test_a_damaged_part_costs_only_itself(tmp_path: Path) -> None:
    """A list that begins as an export does and goes on otherwise is skipped with its reason."""
    parts = {"a.json": '[{"chat_messages": []}, 5', "b.json": [_claude("Hello")]}
    found = list(read_source(_zip(tmp_path / "a.zip", parts)))
    assert [type(item) for item in found] == [ImportSkipped, Draft]


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({}, SourceUnknownError),
        ({"note.md": "x", "user.json": "{}"}, SourceUnknownError),
        ({"a.json": " " * 300}, SourceTooLargeError),
        ({f"{n}.json": " " * 80 for n in range(3)}, SourceTooLargeError),
        ({f"{n}.txt": "" for n in range(6)}, SourceTooLargeError),
    ],
)
def test_what_no_export_is_or_too_much_is_refused(
    tmp_path: Path, files: dict[str, object], error: type[Exception]
) -> None:
    """Neither one file, nor all of them, nor their number can be more than is read."""
    limits = Limits(max_json_bytes=100, max_archive_bytes=200, max_files=5)
    with pytest.raises(error):
        read_source(_zip(tmp_path / "a.zip", files), limits=limits)


def test_what_an_archive_says_of_a_size_is_not_believed(tmp_path: Path) -> None:
    """A file that inflates to more than its entry states is not read to its end."""
    path = _zip(tmp_path / "a.zip", {"a.json": " " * 5_000})
    data = path.read_bytes()
    path.write_bytes(data.replace((5_000).to_bytes(4, "little"), (50).to_bytes(4, "little")))
    with pytest.raises((SourceTooLargeError, SourceDamagedError)):
        read_source(path, limits=Limits(max_json_bytes=100))


@pytest.mark.parametrize("way", [ZIP_BZIP2, ZIP_LZMA])
def test_what_inflates_all_at_once_is_not_inflated(tmp_path: Path, way: int) -> None:
    """A file in bzip2 or LZMA, of which Python bounds nothing, takes no room that it does not."""
    path = tmp_path / "a.zip"
    with ZipFile(path, "w", way) as archive:
        archive.writestr("a.json", bytes(64 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(SourceDamagedError, match="compressed"):
            read_source(path, limits=Limits(max_json_bytes=100))
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_a_long_table_of_contents_is_not_read(tmp_path: Path) -> None:
    """What an archive says of its table's length is looked at before any of it is made."""
    path = tmp_path / "a.zip"
    size = 33 * MIB
    with path.open("wb") as file:
        file.truncate(size)  # a hole, which takes no room
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size, 0, 0))
    with pytest.raises(SourceTooLargeError, match="table of contents"):
        read_source(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes have names here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that has the name of an archive, or takes a file's meanwhile, is no source."""
    for name in ("a.zip", "a.json", "a.md"):
        os.mkfifo(tmp_path / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pathlib.Path.is_file", lambda _: True)
        with pytest.raises(SourceMissingError):
            read_source(tmp_path / "a.zip")
        with pytest.raises(SourceMissingError):
            detect(tmp_path / "a.json")
        assert [type(item) for item in read_source(tmp_path / "a.md")] == [ImportSkipped]


@pytest.mark.parametrize("place", range(0, 200, 7))
def test_a_damaged_archive_is_an_error_of_ours(tmp_path: Path, place: int) -> None:
    """Whatever byte of an archive is another one, it is read, or refused as a source."""
    path = _zip(tmp_path / "a.zip", {"a.json": [_claude("Hello")], "b.txt": "x"})
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 0xFF
    path.write_bytes(data)
    try:
        list(read_source(path))
    except (SourceDamagedError, SourceMissingError, SourceTooLargeError, SourceUnknownError):
        return


def test_a_file_without_a_name_is_read_as_any(tmp_path: Path) -> None:
    """An archive may name a file with no letter at all."""
    path = _zip(tmp_path / "a.zip", {"a.json": [_claude("Hello")]})
    data = path.read_bytes().replace(b"a.json", b"\0.json")  # zipfile cuts a name at U+0000
    path.write_bytes(data)
    with pytest.raises(SourceUnknownError):
        read_source(path)


def test_an_encrypted_archive_says_so(tmp_path: Path) -> None:
    """A password is not asked for: the person is told to unpack it."""
    path = _zip(tmp_path / "a.zip", {"a.json": [_claude("Hello")]})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    data[6] |= 1
    path.write_bytes(data)
    with pytest.raises(SourceDamagedError, match="encrypted"):
        read_source(path)


def test_a_folder_that_was_unpacked_says_what_to_do(tmp_path: Path) -> None:
    """A folder with an export and no note is refused with the way to import it."""
    (tmp_path / "conversations.json").write_text("[]")
    with pytest.raises(SourceEmptyError) as caught:
        read_source(tmp_path)
    assert "by its own name" in caught.value.hint
