"""Memories exported from mem0: ``{"results": [...]}``, or the bare list.

``user_id``, ``agent_id``, ``app_id`` and ``run_id`` become labels. Its ``categories`` were guessed
from the text by a model, so they are content: they stay in ``metadata`` and do not become tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.draft import Draft, Imported, ImportSkipped
from coffret_vault.ingest.errors import SourceDamagedError, SourceEmptyError
from coffret_vault.ingest.fits import check_fits
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.names import printable_path
from coffret_vault.ingest.reading import decode_json, decode_top, read_json
from coffret_vault.ingest.times import day_of, not_before, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIND = "mem0"

_LABELS = {"user_id": "user", "agent_id": "agent", "app_id": "app", "run_id": "session"}


class _Memory(Unshown, msgspec.Struct):
    id: str
    memory: str
    created_at: str | float | None = None
    updated_at: str | float | None = None
    metadata: dict[str, object] | None = None
    categories: list[str] | None = None
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None


def read_mem0(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    """Read a mem0 export.

    Raises:
        SourceDamagedError: the file is not of that shape; a single memory that is not is skipped.
        SourceEmptyError: it holds no memory.
    """
    data = read_json(path, limits.max_json_bytes)
    whole = decode_top(data)
    if isinstance(whole, dict):
        whole = decode_json(whole.get("results", msgspec.Raw(b"null")), list[msgspec.Raw])
    if not whole:
        raise SourceEmptyError
    return _read_all(whole, printable_path([path.name]), limits)


def _read_all(raws: list[msgspec.Raw], name: str, limits: Limits) -> Iterator[Imported]:
    for number, raw in enumerate(raws, 1):
        try:
            yield _draft(decode_json(raw, _Memory), limits)
        except SourceDamagedError as error:
            yield ImportSkipped(f"{name}, memory {number}", str(error))


def _draft(memory: _Memory, limits: Limits) -> Draft:
    created = parse_time(memory.created_at)
    day = day_of(created)
    draft = Draft(
        key=f"{KIND}:{memory.id}",
        source=f"{KIND}:{memory.id}",
        content=memory.memory,
        title=f"Memory from mem0, {day}" if day else "Memory from mem0",
        labels={
            label: value
            for name, label in _LABELS.items()
            if isinstance(value := getattr(memory, name), str) and value
        },
        metadata={
            **(memory.metadata or {}),
            **({"categories": memory.categories} if memory.categories else {}),
        },
        created=created,
        updated=not_before(created, parse_time(memory.updated_at)),
    )
    check_fits(draft, limits)
    return draft
