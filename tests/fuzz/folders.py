"""Import of a folder: any names, links and contents give drafts, or reasons; nothing from outside.

An input is a list of entries, each its kind, in which of the folders before it, its name and what
is in it or where it leads, so that small changes of the bytes are small changes of the tree.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from coffret_vault.ingest import Draft, ImportSkipped, read_folder, read_source
from coffret_vault.ingest.errors import IngestError
from coffret_vault.ingest.limits import Limits
from coffret_vault.ingest.names import clean_line
from fuzz.choosing import Choices, short
from fuzz.imports import check_drafts
from fuzz.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LIMITS = Limits(
    section_chars=60,
    max_text_bytes=1_000,
    max_content_bytes=300,
    max_files=12,
    max_json_bytes=1_000,
)
_MOST = 16
_LONGEST_NAME = 200
_OUTSIDE = "what lies outside of the folder"
_FILE, _FOLDER, _LINK, _OUT, _HARD, _PIPE, _HUGE, _LOCKED = range(8)


def _name(choices: Choices) -> bytes:
    """A name that a file can have; else it stays as it is."""
    name = choices.short()[:_LONGEST_NAME].replace(b"/", b"").replace(b"\0", b"")
    return b"_" + name if name in {b"", b".", b".."} else name


def _plant(choices: Choices, root: bytes) -> None:
    """Make a tree below ``root``, beside which there is a file that nobody asked for."""
    folders = [root]
    for _ in range(choices.number() % _MOST):
        kind, place = choices.number() % 8, folders[choices.number() % len(folders)]
        path, inside = os.path.join(place, _name(choices)), choices.short()  # noqa: PTH118 - bytes
        with suppress(OSError, ValueError):
            _MAKE[kind](path, inside)
            if kind == _FOLDER:
                folders.append(path)


def _file(path: bytes, inside: bytes) -> None:
    with open(path, "xb") as file:  # noqa: PTH123 - a path of bytes
        file.write(inside)


def _huge(path: bytes, inside: bytes) -> None:
    """A file that says to be large, and takes no room."""
    _file(path, inside)
    os.truncate(path, 1 << 40)


def _locked(path: bytes, inside: bytes) -> None:
    _file(path, inside)
    os.chmod(path, 0)  # noqa: PTH101 - a path of bytes


def _out(path: bytes, inside: bytes) -> None:
    """A link to what lies outside, by one of the ways there are."""
    root = os.fsencode(tempfile.gettempdir())
    ways = (b"../outside.md", b"../../outside.md", b"..", b"/", root, b"/proc/self/environ")
    os.symlink(ways[inside[0] % len(ways)] if inside else ways[0], path)  # noqa: PTH211 - a path of bytes


_MAKE: dict[int, Callable[[bytes, bytes], object]] = {
    _FILE: _file,
    _FOLDER: lambda path, _: os.mkdir(path),  # noqa: PTH102 - a path of bytes
    _LINK: lambda path, inside: os.symlink(inside.replace(b"\0", b""), path),  # noqa: PTH211 - a path of bytes
    _OUT: _out,
    _HARD: lambda path, inside: os.link(inside.replace(b"\0", b""), path),
    _PIPE: lambda path, _: os.mkfifo(path),
    _HUGE: _huge,
    _LOCKED: _locked,
}


def _check(data: bytes) -> None:
    """The folder is read, whatever is in it: each piece once, under a name fit to be shown."""
    with tempfile.TemporaryDirectory() as around:
        (Path(around) / "outside.md").write_text(_OUTSIDE, encoding="ascii")
        root = Path(around) / "notes"
        root.mkdir()
        _plant(Choices(data), os.fsencode(root))
        for read in (read_folder, read_source):
            try:
                items = list(read(root, limits=_LIMITS))
            except IngestError:
                continue
            assert all(isinstance(item, Draft | ImportSkipped) for item in items)
            drafts = [item for item in items if isinstance(item, Draft)]
            _check_names(drafts, [item for item in items if isinstance(item, ImportSkipped)])
            check_drafts(Path(around), drafts)


def _check_names(drafts: list[Draft], skipped: list[ImportSkipped]) -> None:
    keys = [draft.key for draft in drafts]
    assert len(keys) == len(set(keys))
    for draft in drafts:
        assert _OUTSIDE not in draft.content
        assert clean_line(draft.title) == draft.title
    for text in (*(draft.source for draft in drafts), *(item.source for item in skipped)):
        assert all(symbol.isprintable() or clean_line(symbol) == symbol for symbol in text)


def _entry(kind: int, place: int, name: bytes, inside: bytes = b"") -> bytes:
    return bytes((kind, place)) + short(name) + short(inside)


def _tree(*entries: bytes) -> bytes:
    return bytes((len(entries),)) + b"".join(entries)


def _seeds() -> Iterator[bytes]:
    note = b"---\ntitle: Tea\ntags: [a]\n---\n# Tea\n\nI like tea.\n\n## Later\n\nMore."
    yield _tree(_entry(_FILE, 0, b"note.md", note), _entry(_FILE, 0, b"2024-05-02.txt", b"day"))
    yield _tree(
        _entry(_FOLDER, 0, b"inner"),
        _entry(_FILE, 1, b"a.md", b"a"),
        _entry(_LINK, 0, b"b.md", b"inner/a.md"),
        _entry(_LINK, 1, b"up", b".."),
        _entry(_LINK, 0, b"self.md", b"self.md"),
        _entry(_LINK, 0, b"gone.md", b"gone"),
    )
    yield _tree(*(_entry(_OUT, 0, b"out%d.md" % way, bytes((way,))) for way in range(6)))
    yield _tree(
        _entry(_FILE, 0, b"\xff\xfe.md", b"not a name"),
        _entry(_FILE, 0, b"a\nb.md", b"lines"),
        _entry(_FILE, 0, "\u202egpj.md".encode(), b"backwards"),
        _entry(_FILE, 0, b"\\xff\\xfe.md", b"escaped"),
        _entry(_FILE, 0, b"\x1b[31m.md", b"red"),
        _entry(_FILE, 0, b"-rf.md", b"option"),
        _entry(_FILE, 0, b".hidden.md", b"no"),
    )
    yield _tree(
        _entry(_FILE, 0, "\u00e9.md".encode(), b"one"),
        _entry(_FILE, 0, "e\u0301.md".encode(), b"other"),
    )
    yield _tree(
        _entry(_PIPE, 0, b"pipe.md"),
        _entry(_HUGE, 0, b"huge.md", b"large"),
        _entry(_LOCKED, 0, b"locked.md", b"no"),
        _entry(_HARD, 0, b"hard.md", b"locked.md"),
        _entry(_FILE, 0, b"old.md", "caf\u00e9".encode("latin-1")),
        _entry(_FILE, 0, b"wide.md", "wide".encode("utf-16")),
        _entry(_FILE, 0, b"zero.md", b"a\0b"),
    )
    yield _tree(*(_entry(_FILE, 0, b"%d.md" % at, b"x") for at in range(14)))


TARGETS = (Target("import-folder", _check, _seeds, 2048),)
