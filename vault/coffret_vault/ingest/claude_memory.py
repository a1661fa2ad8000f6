"""What Claude remembers of a person: ``memories.json`` of a Claude export.

It is one text about the person and one for each project, kept up to date by Claude. Each becomes
one memory, so that a later export changes it and leaves nothing of an older text behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.claude import KIND
from coffret_vault.ingest.draft import Draft, Imported, ImportSkipped
from coffret_vault.ingest.errors import SourceDamagedError, SourceEmptyError
from coffret_vault.ingest.fits import check_fits
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.names import printable_path
from coffret_vault.ingest.reading import decode_json, is_list, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TITLE = "Memory from Claude"


class _Account(Unshown, msgspec.Struct):
    conversations_memory: str | None = None
    project_memories: dict[str, str] | None = None
    account_uuid: str | None = None


def read_claude_memory(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Imported]:
    """Read ``memories.json`` of a Claude export: a list with one entry an account, or one entry.

    Raises:
        SourceDamagedError: the file is not of that shape; one account that is not is skipped.
        SourceEmptyError: nothing is remembered in it.
    """
    data = read_json(path, limits.max_json_bytes)
    return claude_memories(data, printable_path([path.name]), limits)


def claude_memories(data: bytes, name: str, limits: Limits) -> Iterator[Imported]:
    """As :func:`read_claude_memory`, from the bytes of a file of this name."""
    raws = decode_json(data, list[msgspec.Raw]) if is_list(data) else [msgspec.Raw(data)]
    found = list(_read_all(raws, name, limits))
    if not found:
        raise SourceEmptyError
    return iter(found)


def _read_all(raws: list[msgspec.Raw], name: str, limits: Limits) -> Iterator[Imported]:
    for number, raw in enumerate(raws, 1):
        try:
            account = decode_json(raw, _Account)
        except SourceDamagedError as error:
            yield ImportSkipped(f"{name}, account {number}", str(error))
            continue
        whose = account.account_uuid or str(number)
        texts = {
            f"{KIND}:memory/{whose}": account.conversations_memory or "",
            **{
                f"{KIND}:memory/{whose}/{project}": text
                for project, text in (account.project_memories or {}).items()
            },
        }
        for key, text in texts.items():
            if text.strip():
                yield _draft(key, text, f"{name}, account {number}", limits)


def _draft(key: str, text: str, where: str, limits: Limits) -> Imported:
    draft = Draft(key=key, source=key, content=text.strip("\n").rstrip(), title=TITLE)
    try:
        check_fits(draft, limits)
    except SourceDamagedError as error:
        return ImportSkipped(where, str(error))
    return draft
