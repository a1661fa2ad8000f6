"""Markdown and text files, alone or in folders, into drafts.

What becomes what: front matter ``title``, ``date``/``created``, ``updated``/``modified``,
``tags``/``keywords``, ``type``, ``importance``, ``confidence``, ``summary``/``description`` and
``labels`` fill the fields of those names, every other field is kept in ``metadata``, and so is a
value that cannot be understood (``importance: high``). ``#hashtags`` in the text are tags too.

The title is the front matter's, else the first heading, else the file's name, else ``Journal
entry 2024-05-02``: never a sentence of the text, because in ``plain`` mode the server reads titles.

The date is that of a day's heading, else the front matter's, else the file name's. Without one
``created`` is None, and ``updated`` is the time the file was last changed.

Keys are ``markdown:<folder>/<path>#<headings>``, with the name, not the place, of the folder: it
may move to another disk or computer. A ``namespace`` keeps two folders of one name apart;
``spaces`` says which is which.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.draft import EMPTY, Draft, Imported, ImportSkipped
from coffret_vault.ingest.errors import IngestError, SourceEmptyError
from coffret_vault.ingest.folders import BY_ITSELF, NOT_REGULAR, FoundFile, walk
from coffret_vault.ingest.front_matter import split_front_matter
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.names import (
    clean_tags,
    clean_title,
    day_in,
    printable_path,
    title_of_file,
    without_leading_day,
)
from coffret_vault.ingest.reading import decode_text, read_bytes
from coffret_vault.ingest.sections import Section, split_sections
from coffret_vault.ingest.stated import Stated, read_stated
from coffret_vault.ingest.times import not_before, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TITLE_FROM = 1_000
"""Characters that a title is made from, which has 200; a mark may be one of them."""


class _Document(Unshown, msgspec.Struct, frozen=True):
    """What holds for every section of a file."""

    name: str
    title: str
    titled: bool
    created: int | None
    updated: int | None
    stated: Stated


def read_folder(
    root: Path, *, namespace: str | None = None, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Imported]:
    """Read every ``.md``, ``.markdown`` and ``.txt`` file below a folder, in the order of paths.

    Hidden files, other kinds of files, files that are not text and links that lead out of the
    folder are yielded as skipped; the rest goes on.

    Args:
        root: the folder.
        namespace: the first part of keys and sources; the folder's name if not given.
        limits: sizes and caps.

    Raises:
        SourceEmptyError: no file in it can be imported.
        SourceMissingError: it is not there.
        SourceTooLargeError: it holds too many files.
    """
    found = list(walk(root, limits.max_files))
    if not any(isinstance(item, FoundFile) for item in found):
        detail = "there is no .md, .markdown or .txt file in that folder"
        reasons = {item.reason for item in found if isinstance(item, ImportSkipped)}
        hint = "import the export in it by its own name" if BY_ITSELF in reasons else ""
        raise SourceEmptyError(detail, hint=hint)
    space = printable_path([namespace or root.resolve().name])
    return _read_all(found, space, limits)


def _read_all(
    found: list[FoundFile | ImportSkipped], space: str, limits: Limits
) -> Iterator[Imported]:
    for item in found:
        if isinstance(item, ImportSkipped):
            yield item
        else:
            yield from _read_found(item, space, limits)


def read_file(
    path: Path, *, namespace: str | None = None, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Imported]:
    """Read one Markdown or text file.

    Args:
        path: the file.
        namespace: the first part of keys and sources; the name of its folder if not given, so
            that a file directly in a folder has one key, imported alone or with the folder.
        limits: sizes and caps.
    """
    absolute = path.absolute()
    space = printable_path([namespace or absolute.parent.name])
    return _read_found(FoundFile(path, printable_path([path.name])), space, limits)


def _read_found(file: FoundFile, space: str, limits: Limits) -> Iterator[Imported]:
    try:
        text = decode_text(read_bytes(file.path, limits.max_text_bytes, home=file.home))
        modified = parse_time(file.path.stat().st_mtime)
    except IngestError as error:
        yield ImportSkipped(file.relative, str(error))
        return
    except OSError:
        yield ImportSkipped(file.relative, NOT_REGULAR)
        return
    fields, body = split_front_matter(text)
    if not body.strip():
        yield ImportSkipped(file.relative, EMPTY)
        return
    sections = split_sections(body, limits.section_chars)
    document = _document(f"{space}/{file.relative}", fields, sections, modified)
    for section in sections:
        yield _draft(document, section, alone=len(sections) == 1)


def _document(
    name: str, fields: Mapping[str, object], sections: list[Section], modified: int | None
) -> _Document:
    stated = read_stated(fields)
    first = sections[0].headings[:1]
    heading = clean_title(without_leading_day(first[0])) if first else ""
    title = stated.title or heading or title_of_file(name)
    created = stated.created
    if created is None:
        created = parse_time(day_in(Path(name).name) or (day_in(first[0][:10]) if first else None))
    updated = stated.updated
    if updated is None and created is None:
        updated = modified
    return _Document(name, title, bool(stated.title), created, updated, stated)


def _draft(document: _Document, section: Section, *, alone: bool) -> Draft:
    anchor = f"#{section.anchor}" if section.anchor else ""
    stated = document.stated
    created = document.created if alone else _section_day(section) or document.created
    return Draft(
        key=f"markdown:{document.name}{anchor}",
        source=f"markdown:{document.name}",
        content=section.text.strip("\n").rstrip(),
        title=document.title if alone else _section_title(document, section),
        summary=stated.summary,
        type=stated.type,
        tags=clean_tags((*stated.tags, *section.tags)),
        importance=stated.importance,
        confidence=stated.confidence,
        labels=stated.labels,
        metadata=stated.metadata,
        created=created,
        updated=not_before(created, document.updated),
    )


def _section_day(section: Section) -> int | None:
    days = [parse_time(day_in(heading[:10])) for heading in reversed(section.headings)]
    return next((day for day in days if day is not None), None)


def _section_title(document: _Document, section: Section) -> str:
    names = list(section.headings)
    if names[:1] != [document.title]:
        names = [document.title, *names] if document.titled or not names else names
    part = f" ({section.part})" if section.part > 1 else ""
    return clean_title(" / ".join(names)[:_TITLE_FROM]) + part
