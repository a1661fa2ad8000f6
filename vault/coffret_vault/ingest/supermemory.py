"""What Supermemory's API lists: documents and memory entries, as its answers were saved.

``{"memories": [...]}``, ``{"documents": [...]}`` or ``{"memoryEntries": [...]}``, or the bare list.
A document becomes one memory of its content, and each entry that was made of it one as well.
Container tags say for whom something was kept, so they become a label and not tags; what was
forgotten, or replaced by a later version, is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.draft import EMPTY, Draft, Imported, ImportSkipped
from coffret_vault.ingest.errors import SourceDamagedError, SourceEmptyError
from coffret_vault.ingest.fits import check_fits
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.names import clean_title, printable_path
from coffret_vault.ingest.reading import decode_json, decode_top, read_json
from coffret_vault.ingest.times import day_of, not_before, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIND = "supermemory"
LISTS = ("memories", "documents", "memoryEntries")

FORGOTTEN = "it was forgotten there"
REPLACED = "a later version of it took its place"
PAGES = "more pages follow this one, which are saved and imported in the same way"


class _Item(Unshown, msgspec.Struct, rename="camel"):
    id: str
    title: str | None = None
    content: str | None = None
    memory: str | None = None
    summary: str | None = None
    url: str | None = None
    custom_id: str | None = None
    container_tags: list[str] | None = None
    container_tag: str | None = None
    space_container_tag: str | None = None
    metadata: dict[str, object] | None = None
    created_at: str | float | None = None
    updated_at: str | float | None = None
    is_forgotten: bool | None = None
    is_latest: bool | None = None
    memory_entries: list[msgspec.Raw] | None = None


class _Pagination(msgspec.Struct, rename="camel"):
    current_page: int | None = None
    total_pages: int | None = None


def read_supermemory(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    """Read what Supermemory's API answered to a list.

    Raises:
        SourceDamagedError: the file is not of that shape; a single item that is not is skipped.
        SourceEmptyError: it lists nothing.
    """
    name = printable_path([path.name])
    whole = decode_top(read_json(path, limits.max_json_bytes))
    more: list[ImportSkipped] = []
    if isinstance(whole, dict):
        more = [ImportSkipped(name, PAGES)] if _has_more(whole.get("pagination")) else []
        named = next((whole[each] for each in LISTS if each in whole), msgspec.Raw(b"[]"))
        whole = decode_json(named, list[msgspec.Raw])
    if not whole:
        raise SourceEmptyError
    return iter([*_read_all(whole, name, limits), *more])


def _has_more(raw: msgspec.Raw | None) -> bool:
    try:
        page = decode_json(raw, _Pagination) if raw else _Pagination()
    except SourceDamagedError:
        return False
    return (page.total_pages or 1) > (page.current_page or 1)


def _read_all(raws: list[msgspec.Raw], name: str, limits: Limits) -> Iterator[Imported]:
    for number, raw in enumerate(raws, 1):
        where = f"{name}, item {number}"
        try:
            item = decode_json(raw, _Item)
        except SourceDamagedError as error:
            yield ImportSkipped(where, str(error))
            continue
        entries = [_of_document(item, entry) for entry in item.memory_entries or ()]
        if item.content or item.memory or item.summary or not entries:
            yield _imported(item, where, limits)
        for at, entry in enumerate(entries, 1):
            yield _imported(entry, f"{where}, entry {at}", limits)


def _of_document(document: _Item, raw: msgspec.Raw) -> _Item | str:
    """An entry, with what its document says of it; or why there is none."""
    try:
        entry = decode_json(raw, _Item)
    except SourceDamagedError as error:
        return str(error)
    if not _containers(entry):
        entry.container_tags = _containers(document)
    return entry


def _imported(item: _Item | str, where: str, limits: Limits) -> Imported:
    if isinstance(item, str):
        return ImportSkipped(where, item)
    if item.is_forgotten:
        return ImportSkipped(where, FORGOTTEN)
    if item.is_latest is False:
        return ImportSkipped(where, REPLACED)
    draft = _draft(item)
    if not draft.content.strip():
        return ImportSkipped(where, EMPTY)
    try:
        check_fits(draft, limits)
    except SourceDamagedError as error:
        return ImportSkipped(where, str(error))
    return draft


def _containers(item: _Item) -> list[str]:
    named = [*(item.container_tags or ()), item.container_tag, item.space_container_tag]
    return [tag for tag in dict.fromkeys(named) if tag]


def _draft(item: _Item) -> Draft:
    created = parse_time(item.created_at)
    day, containers = day_of(created), _containers(item)
    untitled = f"Memory from Supermemory, {day}" if day else "Memory from Supermemory"
    apart = {"url": item.url, "customId": item.custom_id}
    if len(containers) > 1:
        apart["containerTags"] = ", ".join(containers)
    content = item.content or item.memory or item.summary or ""
    return Draft(
        key=f"{KIND}:{item.id}",
        source=f"{KIND}:{item.id}",
        content=content,
        title=clean_title(item.title or "") or untitled,
        summary=item.summary if item.summary and item.summary != content else "",
        labels={"user": containers[0]} if containers else {},
        metadata={
            **(item.metadata or {}),
            **{name: value for name, value in apart.items() if value},
        },
        created=created,
        updated=not_before(created, parse_time(item.updated_at)),
    )
