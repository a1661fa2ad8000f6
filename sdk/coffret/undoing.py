"""Take an import back: what it created is deleted, and what was changed since is named and kept."""

from __future__ import annotations

from collections import Counter
from datetime import datetime  # msgspec reads the annotations at run time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.append import append
from coffret.flows.batches import BATCH
from coffret.flows.memories import deletion
from coffret.flows.sync import silent, sync
from coffret.flows.waiting import settle
from coffret.flows.written import Change
from coffret.importing import Gone, written_digest
from coffret.listing import current_memories
from coffret.sources import known_places
from coffret_vault.errors import ConflictError, FormatError, InputError, NotFoundError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.spaces import PREFIX, is_from
from coffret_vault.records.marks import IMPORT_KEY, IMPORT_RUN, IMPORT_WRITTEN
from coffret_vault.records.memory import from_micros

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress
    from coffret_vault.records.memory import Memory

_NONE = "nothing that is here was created by that import"
_TIME_BYTES = 6


class ImportInfo(msgspec.Struct, frozen=True):
    """An import that created memories which are still here.

    Attributes:
        id: the import's, a hyphenated UUID; one that was interrupted and run again is two.
        at: when it began, by the clock of the device that ran it.
        memories: how many of those that it created are here.
        changed: how many of these were changed by hand or an app since, or may be: an app's
            change waits for a decision.
        sources: where they come from: folders by name, or kinds of exports.
    """

    id: str
    at: datetime
    memories: int
    changed: int
    sources: tuple[str, ...]


class ImportUndone(msgspec.Struct, frozen=True):
    """What came of taking an import back, or would.

    Attributes:
        deleted: what the import created and is deleted, with all its versions.
        kept: what it created and was changed since, by hand or by an app, or of which an app's
            change waits for a decision.
    """

    deleted: tuple[Gone, ...]
    kept: tuple[Gone, ...]


class _Created(Unshown, msgspec.Struct, frozen=True):
    """A memory that an import created, as it is now; ``version`` is what was looked at."""

    memory_id: bytes
    version: int
    run: str
    key: str
    changed: bool
    shown: Gone


def imports(state: VaultState) -> list[ImportInfo]:
    """Every import of which something is here, oldest first."""
    by_run: dict[str, list[_Created]] = {}
    for item in _created(state):
        by_run.setdefault(item.run, []).append(item)
    return [_info(run, by_run[run]) for run in sorted(by_run)]


def _info(run: str, items: Sequence[_Created]) -> ImportInfo:
    counted = Counter(_top(item.key) for item in items)
    return ImportInfo(
        id=run,
        at=from_micros(int.from_bytes(parse_id(run)[:_TIME_BYTES]) * 1_000),  # a UUIDv7
        memories=len(items),
        changed=sum(item.changed for item in items),
        sources=tuple(name for name, _ in counted.most_common()),
    )


def _top(key: str) -> str:
    """The folder of a piece of one, by its name, or the kind of export that a piece is of."""
    if key.startswith(PREFIX):
        return key[len(PREFIX) :].split("/", 1)[0]
    return key.split(":", 1)[0]


def undo_import(
    state: VaultState,
    which: str | Path,
    progress: Progress = silent,
    *,
    changed: bool = False,
    dry_run: bool = False,
) -> Flow[ImportUndone]:
    """Delete what an import created. Run again, it goes on where it was interrupted.

    Args:
        state: the vault.
        which: an import's id; or a folder, by its place on this device or by the name that its
            memories have, a file in it, or a kind of export (``chatgpt``): all imports of it.
        progress: told how much is deleted.
        changed: also what was changed since.
        dry_run: only say what would be done.

    Raises:
        NotFoundError: nothing that is here was created by it.
        InputError: the folder's place and its name are those of two folders.
    """
    yield from settle(state)
    yield from sync(state)
    chosen = _chosen(state, list(_created(state)), which)
    if not chosen:
        raise NotFoundError(_NONE, hint="coffret imports lists those that can be taken back.")
    kept = [item for item in chosen if item.changed and not changed]
    wanted = [item for item in chosen if not item.changed or changed]
    if dry_run:
        return _undone(wanted, kept)
    deleted: list[_Created] = []
    for first in range(0, len(wanted), BATCH):
        batch = wanted[first : first + BATCH]
        done = yield from _delete(state, batch)
        deleted += done
        kept += [item for item in batch if item not in done and _is_here(state, item.memory_id)]
        progress("deletions", first + len(batch), len(wanted))
    return _undone(deleted, kept)


def _undone(deleted: Sequence[_Created], kept: Sequence[_Created]) -> ImportUndone:
    return ImportUndone(tuple(item.shown for item in deleted), tuple(item.shown for item in kept))


def _created(state: VaultState) -> Iterator[_Created]:
    for memory in current_memories(state):
        run, key = memory.provenance.get(IMPORT_RUN), memory.provenance.get(IMPORT_KEY)
        if run is None or key is None or not _is_id(run):
            continue
        source = memory.source.removeprefix(PREFIX)
        shown = Gone(memory.id, memory.title, source)
        memory_id = parse_id(memory.id)
        changed = _was_changed(state, memory_id, memory)
        yield _Created(memory_id, memory.version, run, key, changed, shown)


def _is_id(text: str) -> bool:
    try:
        parse_id(text)
    except FormatError:
        return False
    return True


def _was_changed(state: VaultState, memory_id: bytes, memory: Memory) -> bool:
    """Whether it says anything else than the last import of its piece wrote, or is about to."""
    standing = state.store.state(memory_id)
    waits = standing is not None and bool(standing.pending)
    return waits or memory.provenance.get(IMPORT_WRITTEN) != written_digest(memory)


def _chosen(state: VaultState, created: Sequence[_Created], which: str | Path) -> list[_Created]:
    """Those of the memories that are of the import that is meant.

    Raises:
        InputError: nothing is named, or two folders are.
    """
    text = str(which).strip()
    if not text:
        message = "say which import: its id, or the folder that was imported"
        raise InputError(message)
    if _is_id(text.lower()):
        return [item for item in created if item.run == text.lower()]
    place = _place(state, Path(text))
    there = [item for item in created if place and is_from(item.key, place)]
    named = [item for item in created if is_from(item.key, text)]
    if there and named and not is_from(text, place):
        message = f"{text} is the place of what is called {place} here, and another folder's name"
        raise InputError(message, hint=f"Say {place!r}, or the id of the import.")
    return there or named


def _place(state: VaultState, path: Path) -> str:
    """What memories from a folder on this device, or from a file in it, are called by."""
    try:
        whole = path.expanduser().resolve()
    except (RuntimeError, ValueError, OSError):  # nobody's home, or no path at all
        return ""
    places = known_places(state)
    for folder in (whole, *whole.parents):
        namespace = places.get(str(folder))
        if namespace is not None:
            return "/".join((namespace, *whole.relative_to(folder).parts))
    return ""


class _NothingLeftError(ConflictError):
    """Everything of a batch was changed or deleted while it was on its way."""


def _delete(state: VaultState, batch: Sequence[_Created]) -> Flow[list[_Created]]:
    """Delete those that are still what was looked at, all or none; gives which these were."""
    done: list[_Created] = []
    try:
        yield from append(state, partial(_describe, state, batch, done))
    except _NothingLeftError:
        return []
    return done


def _describe(state: VaultState, batch: Sequence[_Created], done: list[_Created]) -> Change:
    # Called again after each sync: what another device changed meanwhile is no longer deleted.
    done[:] = [item for item in batch if _stands(state, item)]
    if not done:
        raise _NothingLeftError
    standing = state.store.states_of({item.memory_id for item in done})
    return Change(tuple(deletion(state, name, memory) for name, memory in standing.items()))


def _stands(state: VaultState, item: _Created) -> bool:
    memory = state.store.state(item.memory_id)
    if memory is None or memory.deleted or memory.current != item.version:
        return False
    return item.changed or not memory.pending


def _is_here(state: VaultState, memory_id: bytes) -> bool:
    memory = state.store.state(memory_id)
    return memory is not None and not memory.deleted
