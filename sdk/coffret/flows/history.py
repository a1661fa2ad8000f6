"""A memory's older versions."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.http import Count, decode_msgpack
from coffret.flows.keys import open_memory
from coffret.flows.memories import read_id
from coffret.flows.session import get_packed
from coffret.flows.sync import sync
from coffret_vault.errors import FormatError, NotFoundError, OpenError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.entry import Entry, parse_leaf
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import Record
from coffret_vault.records.memory import Memory, from_micros
from coffret_vault.records.seal import author_text

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret_vault.log.replay import MemoryState


class Version(msgspec.Struct, frozen=True):
    """One step in a memory's history, from the verified log.

    Attributes:
        version: counts every change.
        author: ``owner`` or an app's id.
        at: when, by the author's clock.
        deletion: whether the step is a deletion.
        memory: the memory as it was; None for a deletion, for what a later deletion erased, for
            what the owner rejected, and for what an app sealed so that it does not open.
    """

    version: int
    author: str
    at: datetime
    deletion: bool
    memory: Memory | None


class _Item(msgspec.Struct, frozen=True, array_like=True):
    record: Record | None
    version: Count
    status: str
    leaf: Count


def history(state: VaultState, memory_id: str) -> Flow[list[Version]]:
    """Every version of a memory, oldest first, each compared with the log.

    Of a memory that others change meanwhile, it is the history up to when it was asked for.

    Raises:
        NotFoundError: there never was such a memory.
        TrustError: the server shows a version that the log does not have, leaves one out, shows
            them in another order, or withholds what nobody deleted.
    """
    identifier = read_id(memory_id)
    newest = _standing(state, identifier).newest
    items = yield from _items(state, identifier, newest)
    try:
        return _judged(state, identifier, items, newest)
    except TrustError:
        # It may be of a log that goes on behind what was read here, where more of it may be: a
        # deletion that took what is not shown. What is read last is not older than what was shown,
        # however quickly others write: that log explains it, or nothing does.
        yield from sync(state)
        newest = _standing(state, identifier).newest
        items = yield from _items(state, identifier, newest)
        yield from sync(state)
        return _judged(state, identifier, items, newest)


def _judged(state: VaultState, identifier: bytes, items: list[_Item], newest: int) -> list[Version]:
    """What is shown, as far as the log that is read here explains it.

    Args:
        state: the vault.
        identifier: which memory.
        items: what the server shows of it.
        newest: the version up to which the log was read when it was asked.
    """
    known = [item.version for item in items]
    if any(before >= after for before, after in pairwise(known)):
        message = "the server shows versions twice, or not in their order"
        raise TrustError(message)
    if len(known) < newest or known[-1] != len(known):
        message = "the server withholds versions that the log says there are"
        raise TrustError(message)
    entries = [_entry(state, identifier, item) for item in items]
    memory = _standing(state, identifier)
    gone = _erased(memory) | _rejected(memory)
    return [
        _version(state, item.record, entry, erased=entry.version in gone)
        for item, entry in zip(items, entries, strict=True)
    ]


def _standing(state: VaultState, identifier: bytes) -> MemoryState:
    memory = state.store.state(identifier)
    if memory is None:
        raise NotFoundError
    return memory


def _rejected(memory: MemoryState) -> set[int]:
    """The versions that the owner rejected."""
    return {item.version for item in memory.proposals if item.rejected}


def _erased(memory: MemoryState) -> set[int]:
    """Every version, where a deletion is in force; one that an app proposes erases nothing."""
    return set(range(1, memory.newest + 1)) if memory.deleted else set()


def _items(state: VaultState, identifier: bytes, newest: int) -> Flow[list[_Item]]:
    """What the server shows of a memory's versions, page by page."""
    path = f"/memory-blobs/{id_text(identifier)}/versions"
    items: list[_Item] = []
    behind = 0
    while True:
        params = [("from", str(behind + 1))] if behind else []
        page = decode_msgpack((yield from get_packed(state, path, *params)), list[_Item])
        items += page
        last = page[-1].version if page else newest
        if last >= newest:
            return items
        if last <= behind:
            message = "the server's pages lead back to one that was read"
            raise FormatError(message)
        behind = last


def _entry(state: VaultState, identifier: bytes, item: _Item) -> Entry:
    leaf = state.store.leaf(item.leaf)
    entry = None if leaf is None else parse_leaf(leaf).entry
    if entry is None or (entry.subject, entry.version) != (identifier, item.version):
        message = "the server shows a version that the log does not have"
        raise TrustError(message)
    return entry


def _version(state: VaultState, record: Record | None, entry: Entry, *, erased: bool) -> Version:
    deletion, memory = entry.kind == kinds.DELETE, None
    if record is not None and not deletion:
        memory = _opened(state, record, entry)
    elif not (erased or deletion):
        message = "the server withholds a version that nobody deleted"
        raise TrustError(message)
    return Version(
        version=entry.version,
        author=author_text(entry.author),
        at=from_micros(entry.time),
        deletion=deletion,
        memory=memory,
    )


def _opened(state: VaultState, record: Record, entry: Entry) -> Memory | None:
    if record.digest != entry.digest:
        message = "the server shows another version than the one in the log"
        raise TrustError(message)
    memory = state.store.state(entry.subject)
    if memory is None:
        return None
    try:
        opened = open_memory(state, record, memory)
    except OpenError:
        # An app may have sealed it badly; the owner's devices do not.
        if entry.author.is_owner:
            message = "a version that the owner wrote does not open"
            raise TrustError(message) from None
        return None
    # An app can sign an entry over a record whose header says something else.
    said = (opened.id, opened.version, opened.author)
    fits = said == (id_text(entry.subject), entry.version, author_text(entry.author))
    return opened if fits else None
