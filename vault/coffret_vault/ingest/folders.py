"""Which files of a folder are imported: in order, none twice, none from outside it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from unicodedata import is_normalized

import msgspec

from coffret_vault.ingest.draft import ImportSkipped
from coffret_vault.ingest.errors import SourceMissingError, SourceTooLargeError
from coffret_vault.ingest.names import as_spelled, printable_path

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT_SUFFIXES = frozenset({".md", ".markdown", ".txt"})
_EXPORT_SUFFIXES = frozenset({".json", ".jsonl", ".zip"})

HIDDEN = "hidden"
OUTSIDE = "a symbolic link that leads out of the folder"
FOLDER_LINK = "a symbolic link to a folder"
TWICE = "a symbolic link to a file that is imported under its own name"
NOT_TEXT = "not a Markdown or text file"
BY_ITSELF = "not a Markdown or text file; an export is imported by its own name"
NOT_REGULAR = "not a regular file"
UNREADABLE = "cannot be read"


class FoundFile(msgspec.Struct, frozen=True):
    """A file to import: where it is, and its clean path below the folder, if it is in one."""

    path: Path
    relative: str
    home: Path | None = None


class _Place(NamedTuple):
    """A folder to look into, and its clean path below the first one."""

    path: Path
    relative: str


Found: TypeAlias = FoundFile | ImportSkipped


def walk(root: Path, max_files: int) -> Iterator[Found]:
    """The text files below ``root`` in the order of their paths, and what was passed over.

    Raises:
        SourceMissingError: ``root`` is no folder, or may not be read.
        SourceTooLargeError: more than ``max_files`` entries.
    """
    home = root.resolve()
    if not home.is_dir() or not os.access(home, os.R_OK | os.X_OK):
        raise SourceMissingError
    count = 0
    waiting = [_Place(home, "")]
    while waiting:
        found, folders = _list(home, waiting.pop())
        count += len(found)
        if count > max_files:
            detail = f"the folder holds more than {max_files} files"
            raise SourceTooLargeError(detail)
        yield from found
        waiting += reversed(folders)


def _list(home: Path, place: _Place) -> tuple[list[Found], list[_Place]]:
    found: list[Found] = []
    folders: list[_Place] = []
    try:
        entries = sorted(os.scandir(place.path), key=lambda entry: entry.name)
    except OSError:
        return [ImportSkipped(place.relative, UNREADABLE)], []
    for entry, name in _named(entries):
        relative = f"{place.relative}/{name}" if place.relative else name
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            folders.append(_Place(Path(entry.path), relative))
        else:
            found.append(_file(home, entry, relative))
    return found, folders


def _named(entries: list[os.DirEntry[str]]) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Each with a clean name of its own: of those that look alike, only that in NFC has its own."""
    alike = Counter(printable_path([entry.name]) for entry in entries)
    for entry in entries:
        name = printable_path([entry.name])
        composed = is_normalized("NFC", entry.name)
        yield entry, name if alike[name] == 1 or composed else as_spelled(entry.name)


def _file(home: Path, entry: os.DirEntry[str], relative: str) -> Found:
    path = Path(entry.path)
    reason = _refusal(home, entry, path)
    return ImportSkipped(relative, reason) if reason else FoundFile(path, relative, home)


def _refusal(home: Path, entry: os.DirEntry[str], path: Path) -> str:
    if entry.name.startswith("."):
        return HIDDEN
    if entry.is_symlink() and (reason := _link_refusal(home, path)):
        return reason
    if path.suffix.lower() not in TEXT_SUFFIXES:
        return BY_ITSELF if path.suffix.lower() in _EXPORT_SUFFIXES else NOT_TEXT
    return "" if entry.is_file() else NOT_REGULAR


def _link_refusal(home: Path, path: Path) -> str:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return UNREADABLE
    if not target.is_relative_to(home):
        return OUTSIDE
    if target.is_dir():
        return FOLDER_LINK
    inside = target.relative_to(home)
    listed = not any(part.startswith(".") for part in inside.parts)
    return TWICE if listed and target.suffix.lower() in TEXT_SUFFIXES else ""
