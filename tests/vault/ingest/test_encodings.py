"""Texts and exports in the encodings that people's programs write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from coffret_vault.ingest import Draft, ImportSkipped, SourceDamagedError, read_source
from coffret_vault.ingest.reading import decode_text

if TYPE_CHECKING:
    from pathlib import Path

WESTERN = (
    "Un café à Besançon, « déjà vu », l\u2019été\u2026 \u20ac 5",
    "Grüße aus Köln \u2013 schöne Straße, naïve Œuvre",
    "¿Qué tal mañana? Ação, coração; å, ä och ö; l·l; don\u00b4t",
)


@pytest.mark.parametrize("text", WESTERN)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_western_texts_are_read_in_what_they_are_written_in(text: str, encoding: str) -> None:
    """UTF-8 with and without its mark, UTF-16 with it, and Windows-1252 give the same text."""
    assert decode_text(f"{text}\r\nEnd".encode(encoding)) == f"{text}\nEnd"


@pytest.mark.parametrize(
    "data",
    [
        "Привет, как дела? Хорошо".encode("cp1251"),
        "今日は日本語です".encode("shift-jis"),
        "你好世界".encode("gbk"),
        "Zażółć gęślą jaźń: było mało".encode("cp1250"),
        "In Moscow people say Привет to each other, and often".encode("cp1251"),
        b"caf\xe9 \x81",
        b"caf\xe9\x00",
        b"\xff\xd8\xff\xe0\x01\x02",
        b"caf\xe9 \x1a\x02",
        "\ufeffodd".encode("utf-16-le")[:-1],
    ],
)
def test_what_would_read_as_gibberish_is_refused(data: bytes) -> None:
    """Other old encodings, binary files and broken UTF-16 are not guessed at."""
    with pytest.raises(SourceDamagedError):
        decode_text(data)


@pytest.mark.parametrize(
    "data",
    [
        "Un café, une idée".encode() + b" et un \xff",
        "It's nice at the café\u2026".encode()[:-1],
        "Very good \U0001f600 and".encode() + b" caf\xe9",
        "Grüße aus Köln".encode() + " und Düsseldorf".encode("cp1252"),
    ],
)
def test_damaged_utf8_is_not_taken_for_another_encoding(data: bytes) -> None:
    """A wrong byte, or an end that was cut off, does not make two letters of each accent."""
    with pytest.raises(SourceDamagedError, match="UTF-8"):
        decode_text(data)


@pytest.mark.parametrize(
    "text", ["»Das ist sein Fuß«, sagte er", "« Voilà »", "Sõna jäääär, São Paulo"]
)
def test_what_looks_like_utf8_in_one_place_is_still_western(text: str) -> None:
    """A mark behind an accent, as quotations have it, makes no damaged UTF-8."""
    assert decode_text(text.encode("cp1252")) == text


def test_a_file_in_an_old_encoding_is_imported_with_its_folder(tmp_path: Path) -> None:
    """Of a folder each file is read by itself, and the one that cannot be is named."""
    (tmp_path / "a.md").write_bytes(WESTERN[0].encode("cp1252"))
    (tmp_path / "b.md").write_bytes("Привет, как дела?".encode("cp1251"))
    first, second = read_source(tmp_path)
    assert isinstance(first, Draft)
    assert first.content == WESTERN[0]
    assert second == ImportSkipped("b.md", "it is not UTF-8 text")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_export_that_a_shell_saved_is_read(tmp_path: Path, encoding: str) -> None:
    """JSON and JSONL in UTF-16, as PowerShell saves it, are known and read."""
    whole = json.dumps([{"role": "user", "content": "Où ça ?"}], ensure_ascii=False)
    line = json.dumps({"type": "entity", "name": "Où", "observations": ["x"]}, ensure_ascii=False)
    for name, text, content in (
        ("a.json", whole, "Me: Où ça ?"),
        ("a.jsonl", f"{line}\r\n{line}\r\n", "Où\n- x"),
    ):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        (found,) = read_source(path)
        assert isinstance(found, Draft)
        assert found.content == content
    (tmp_path / "a.json").write_bytes(whole.encode("utf-16")[:-1])
    with pytest.raises(SourceDamagedError, match="UTF-16"):
        read_source(tmp_path / "a.json")
