"""Markdown and text files become drafts, and the odd ones are reported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from coffret_vault.ingest import (
    DEFAULT_LIMITS,
    Draft,
    ImportSkipped,
    Limits,
    SourceEmptyError,
    SourceMissingError,
    SourceTooLargeError,
    read_file,
    read_folder,
)

if TYPE_CHECKING:
    from pathlib import Path

NOON_2024_05_02 = 1_714_651_200_000_000


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    """Put files into a new folder called ``journal``."""
    home = root / "journal"
    home.mkdir(exist_ok=True, parents=True)
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return home


def drafts(root: Path, *, limits: Limits = DEFAULT_LIMITS) -> list[Draft]:
    """Import a folder and return what was imported."""
    return [item for item in read_folder(root, limits=limits) if isinstance(item, Draft)]


def skipped(root: Path, limits: Limits) -> dict[str, str]:
    """Import a folder and return what was not, with the reasons."""
    items = read_folder(root, limits=limits)
    return {item.source: item.reason for item in items if isinstance(item, ImportSkipped)}


def one(root: Path, name: str, text: str) -> Draft:
    """Import a folder of a single file with a single section."""
    (draft,) = drafts(write(root, {name: text}))
    return draft


def test_front_matter_fills_the_fields_of_its_names(tmp_path: Path) -> None:
    """Each field that front matter states arrives, and unknown ones are kept in metadata."""
    text = (
        "---\ntitle: Two days in Porto\ndate: 2024-05-02\nupdated: 2024-05-03T08:00:00Z\n"
        "tags: [Travel, '#family']\ntype: Experience\nimportance: 0.8\nconfidence: 1\n"
        "summary: A short trip\nlabels: {user: ana}\nweather: rain\nrating: 4\n---\nWe went.\n"
    )
    draft = one(tmp_path, "trip.md", text)
    assert draft == Draft(
        key="markdown:journal/trip.md",
        source="markdown:journal/trip.md",
        content="We went.",
        title="Two days in Porto",
        summary="A short trip",
        type="experience",
        tags=("travel", "family"),
        importance=0.8,
        confidence=1.0,
        labels={"user": "ana"},
        metadata={"weather": "rain", "rating": 4},
        created=NOON_2024_05_02,
        updated=1_714_723_200_000_000,
    )


def test_values_that_cannot_be_understood_are_kept_as_written(tmp_path: Path) -> None:
    """A field with an impossible value does not fail the file and is not lost."""
    text = "---\nimportance: high\nconfidence: 7\ndate: someday\ntags: {a: b}\n---\nText.\n"
    draft = one(tmp_path, "a.md", text)
    assert (draft.importance, draft.confidence, draft.created, draft.tags) == (None, None, None, ())
    assert draft.metadata == {
        "importance": "high",
        "confidence": 7,
        "date": "someday",
        "tags": {"a": "b"},
    }


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("2024-05-02.md", "A sentence that stays private.", "Journal entry 2024-05-02"),
        ("2024-05-02.md", "# 2024-05-02\n\nPrivate.", "Journal entry 2024-05-02"),
        ("2024-05-02 lisbon_trip.md", "Private.", "Lisbon trip"),
        ("a.md", "Intro.\n\n# Real heading\n\nPrivate.", "A"),
        ("a.md", "# Real *heading*\n\nPrivate.", "Real *heading*"),
        ("a.md", "---\ntitle: Re: the boat\n---\n# Other\n\nPrivate.", "Re: the boat"),
        ("a.md", "Setext\n======\n\nPrivate.", "Setext"),
        ("a.txt", "---\ntitle: '\u202egnp\u0007.exe'\n---\nPrivate.", "gnp.exe"),
        ("...md", "Private.", None),
    ],
)
def test_titles_come_from_names_and_headings_only(
    tmp_path: Path, name: str, text: str, title: str | None
) -> None:
    """A title is an explicit one, cleaned, or a neutral one, and never a sentence of the text."""
    home = write(tmp_path, {name: text, "z.md": "Other."})
    found = [draft.title for draft in drafts(home) if not draft.key.endswith("/z.md")]
    assert found == ([title] if title is not None else [])
    assert not any("rivate" in draft.title for draft in drafts(home))


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("Swam in the sea #Travel and #family/kids.", ("travel", "family/kids")),
        ("Issue #123, colour #ff0033 and #fff, C# and a#b.", ()),
        ("`#code` and\n\n```\n#fenced\n```\n\n    #indented\n", ()),
        ("# Heading with #tag\n\nText", ()),
        ("See https://example.org/a#part and [x](#part).", ()),
        ("#one #One #ONE", ("one",)),
        ("Olá #férias", ("férias",)),
    ],
)
def test_hashtags_in_prose_become_tags(tmp_path: Path, text: str, tags: tuple[str, ...]) -> None:
    """Only words a person marked as tags count, in the prose of the text."""
    assert one(tmp_path, "a.md", text).tags == tags


def test_without_a_date_only_the_time_of_the_last_change_is_known(tmp_path: Path) -> None:
    """The modification time is reported as ``updated``, and touching a file changes no digest."""
    home = write(tmp_path, {"a.md": "Text."})
    os.utime(home / "a.md", (1_700_000_000, 1_700_000_000))
    (before,) = drafts(home)
    os.utime(home / "a.md", (1_700_000_500, 1_700_000_500))
    (after,) = drafts(home)
    assert (before.created, before.updated) == (None, 1_700_000_000_000_000)
    assert after.updated == 1_700_000_500_000_000
    assert after.digest == before.digest


def test_long_files_are_cut_at_headings_with_the_path_as_title(tmp_path: Path) -> None:
    """Each section of a long file is a memory of its own, named by its headings."""
    body = "word " * 100
    text = f"# Food\n\n## Soup\n\n{body}\n\n## Fish\n\n{body}\n\n### Cod\n\n{body}\n"
    home = write(tmp_path, {"food.md": text})
    found = drafts(home, limits=Limits(section_chars=800))
    assert [(draft.title, draft.key.removeprefix("markdown:journal/")) for draft in found] == [
        ("Food / Soup", "food.md"),
        ("Food / Fish", "food.md#food/fish"),
        ("Food / Fish / Cod", "food.md#food/fish/cod"),
    ]
    assert found[0].content.startswith("# Food\n\n## Soup")


def test_a_diary_in_one_file_is_cut_at_its_days(tmp_path: Path) -> None:
    """Headings that begin with dates make one dated memory each, however short."""
    home = write(tmp_path, {"d.md": "## 2024-05-02\n\nRain.\n\n## 2024-05-03 Sun\n\nSwim.\n"})
    assert [(draft.created, draft.content) for draft in drafts(home)] == [
        (NOON_2024_05_02, "## 2024-05-02\n\nRain."),
        (NOON_2024_05_02 + 86_400_000_000, "## 2024-05-03 Sun\n\nSwim."),
    ]


def test_a_file_has_one_key_alone_or_with_its_folder(tmp_path: Path) -> None:
    """Importing a folder and then a file directly in it finds the same memory."""
    home = write(tmp_path, {"a.md": "Text."})
    assert [item.key for item in read_file(home / "a.md") if isinstance(item, Draft)] == [
        draft.key for draft in drafts(home)
    ]


def test_a_namespace_keeps_folders_of_one_name_apart(tmp_path: Path) -> None:
    """Two folders called the same can be imported without one updating the other."""
    home = write(tmp_path, {"a.md": "Text."})
    (item,) = read_folder(home, namespace="work/journal")
    assert isinstance(item, Draft)
    assert item.key == "markdown:work/journal/a.md"


def test_files_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    """The order is the same on every run and every system."""
    home = write(tmp_path, {"b/2.md": "x", "a.md": "x", "b/1.md": "x", "c.TXT": "x"})
    names = [draft.key.removeprefix("markdown:journal/") for draft in drafts(home)]
    assert names == ["a.md", "c.TXT", "b/1.md", "b/2.md"]


def test_odd_files_are_skipped_with_reasons_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Each kind of bad file is reported by name, and the good file is imported."""
    home = write(
        tmp_path,
        {
            "good.md": "Text.",
            "empty.md": "",
            "blank.md": " \n\t\n",
            "only-front.md": "---\ntitle: x\n---\n",
            "cyrillic.md": "Привет".encode("cp1251"),
            "binary.txt": b"a\0b",
            "big.md": "x" * 2000,
            "photo.jpg": "x",
            ".hidden.md": "x",
            ".git/config.md": "x",
        },
    )
    secret = tmp_path / "secret.md"
    secret.write_text("outside")
    (home / "out.md").symlink_to(secret)
    (home / "again.md").symlink_to(home / "good.md")
    (home / "gone.md").symlink_to(tmp_path / "nothing")
    (home / "loop").symlink_to(home, target_is_directory=True)
    os.mkfifo(home / "pipe.md")
    limits = Limits(max_text_bytes=1000)
    assert skipped(home, limits) == {
        "empty.md": "empty",
        "blank.md": "empty",
        "only-front.md": "empty",
        "cyrillic.md": "it is not UTF-8 text",
        "binary.txt": "it is a binary file",
        "big.md": "the file is larger than 1000 bytes",
        "photo.jpg": "not a Markdown or text file",
        ".hidden.md": "hidden",
        ".git": "hidden",
        "out.md": "a symbolic link that leads out of the folder",
        "again.md": "a symbolic link to a file that is imported under its own name",
        "gone.md": "cannot be read",
        "loop": "a symbolic link to a folder",
        "pipe.md": "not a regular file",
    }
    assert [draft.content for draft in drafts(home, limits=limits)] == ["Text."]


def test_strange_file_names_become_printable_and_stay_distinct(tmp_path: Path) -> None:
    """A name with control characters or broken bytes cannot reach a terminal as it is."""
    home = write(tmp_path, {"a\x1b[2J.md": "x", "b\u202e.md": "x"})
    (home / os.fsdecode(b"c\xff.md")).write_text("x")
    (home / os.fsdecode(b"c\xfe.md")).write_text("x")
    (home / "c\\xff.md").write_text("x")
    keys = [draft.key for draft in drafts(home)]
    assert len(set(keys)) == 5
    assert all(key.isprintable() for key in keys)


def test_names_that_differ_in_how_accents_are_composed_stay_distinct(tmp_path: Path) -> None:
    """Both are imported, files and folders; a name that has no twin is the same either way."""
    composed, apart = "caf\u00e9", "cafe\u0301"
    files: dict[str, str | bytes] = {f"alone {apart}.md": "x"}
    for name in (composed, apart):
        files |= {f"{name}.md": "x", f"{name}/a.md": "x"}
    try:
        home = write(tmp_path, files)
    except OSError:
        pytest.skip("a file system that takes both for one name")
    keys = [draft.key for draft in drafts(home)]
    if len(keys) == 3:
        pytest.skip("a file system that takes both for one name")
    assert len(set(keys)) == 5
    assert any(f"/{composed}.md" in key for key in keys)
    assert any(f"/alone {composed}.md" in key for key in keys)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_understood(tmp_path: Path, encoding: str) -> None:
    """Files that Windows programs write are read without the mark in the text."""
    home = write(tmp_path, {"a.txt": "Olá\r\nmundo".encode(encoding)})
    assert [draft.content for draft in drafts(home)] == ["Olá\nmundo"]


def test_content_keeps_control_and_bidi_characters(tmp_path: Path) -> None:
    """What a person wrote is not altered; only titles are cleaned."""
    assert one(tmp_path, "a.md", "a\u202eb\u0007c").content == "a\u202eb\u0007c"


@pytest.mark.parametrize("files", [{}, {"photo.jpg": "x"}, {".hidden.md": "x"}])
def test_a_folder_without_texts_is_a_clear_error(
    tmp_path: Path, files: dict[str, str | bytes]
) -> None:
    """Pointing at the wrong folder says so at once."""
    with pytest.raises(SourceEmptyError, match=r"no \.md"):
        read_folder(write(tmp_path, files))


def test_a_folder_that_is_not_there_or_too_full_is_refused(tmp_path: Path) -> None:
    """The whole import is refused before anything is read."""
    with pytest.raises(SourceMissingError):
        read_folder(tmp_path / "nothing")
    with pytest.raises(SourceTooLargeError, match="more than 1 files"):
        read_folder(write(tmp_path, {"a.md": "x", "b.md": "x"}), limits=Limits(max_files=1))


def test_a_link_that_takes_a_file_s_place_leads_nowhere(tmp_path: Path) -> None:
    """Who can write to the folder while it is read has nothing read that is outside it."""
    home = write(tmp_path, {"a.md": "a", "b.md": "b", "in/c.md": "c", "in/d.md": "d"})
    elsewhere = write(tmp_path / "elsewhere", {"c.md": "outside", "d.md": "outside"})
    found = read_folder(home)
    assert isinstance(next(found), Draft)
    (home / "b.md").unlink()
    (home / "b.md").symlink_to(elsewhere / "c.md")
    (home / "in").rename(tmp_path / "moved")
    (home / "in").symlink_to(elsewhere, target_is_directory=True)
    rest = list(found)
    assert [type(item) for item in rest] == [ImportSkipped] * 3
    assert [item.source for item in rest] == ["b.md", "in/c.md", "in/d.md"]
