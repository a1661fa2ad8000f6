"""An owner's memories, opened; what a header shows is asked of it, and the rest is not opened.

A record is compared with the digest that its place in the log has before anything of it is used
(docs/adr/0033), and its header is under that digest: what it shows is as good as what is opened.
"""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from coffret.arguments import listing_of, search_of
from coffret.finding import find
from coffret.flows.keys import open_memory
from coffret.flows.spoilt import spoilt
from coffret.flows.waiting import new_that_wait
from coffret.keptindex import document
from coffret_vault.errors import FormatError, OpenError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import parse_header
from coffret_vault.store import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from coffret.finding import Found, Search
    from coffret.flows.state import VaultState
    from coffret_vault.formats.memory import Header, Record
    from coffret_vault.log.replay import MemoryState
    from coffret_vault.records.memory import Memory

_READ_TOGETHER = 64


def list_memories(state: VaultState, wanted: Mapping[str, Any]) -> list[Memory]:
    """The current memories that are wanted, most lately changed first.

    Raises:
        TypeError: that is nothing to narrow a list by.
        InputError: one of them is of another kind, or out of its bounds.
        LockedError: the vault is locked.
    """
    narrow, search = listing_of("list", wanted), search_of(wanted)
    glance = search.glance()

    def may(record: Record) -> bool:
        header = _header(record)
        return header is None or glance(header)

    if "limit" not in wanted:
        return narrow(current_memories(state, may))
    return narrow(_first(state, may, search.passes(), search.limit))


def waiting_memories(state: VaultState, wanted: Mapping[str, Any]) -> list[Memory]:
    """The new memories that wait on this device and are wanted, most lately said first.

    Raises:
        StoreAlteredError: one was not noted by this vault; it is dropped.
        TypeError, InputError, LockedError: as for :func:`list_memories`.
    """
    return listing_of("waiting", wanted)(_waiting(state))


def _waiting(state: VaultState) -> list[Memory]:
    found = new_that_wait(state)
    _ = state.keys  # a locked vault does not say that there are none either
    # Another process of this device may have sent one meanwhile, or be about to note that it has.
    return [item for item in found if state.store.state(parse_id(item.id)) is None]


def search_waiting(state: VaultState, question: str, search: Search) -> list[Found]:
    """Those of them that have words of a question, best first.

    By words alone: nothing is embedded for them, and they are in no index but one that is made here
    and let go of, since what is kept of an index is of memories in the log.

    Raises:
        StoreAlteredError, LockedError: as for :func:`waiting_memories`.
    """
    with state.store.alone():
        there = {parse_id(memory.id): memory for memory in _waiting(state)}
    if not there or search.mode == "semantic":
        return []
    from coffret_vault.search import SearchIndex  # noqa: PLC0415 - loads numpy: only to search

    index = SearchIndex.without_meaning()
    index.put(map(document, there.values()))
    by_words = replace(search, mode="words", min_similarity=None, limit=len(there))
    found = find(index, question, by_words, lambda keys: map(there.__getitem__, keys))
    # A least similarity leaves out what lacks a word: as of what stands, where it is not similar.
    fit = (hit for hit in found if search.min_similarity is None or hit.coverage == 1)
    return list(islice(fit, search.limit))


def _first(
    state: VaultState, may: Callable[[Record], bool], fits: Callable[[Memory], bool], limit: int
) -> Iterator[Memory]:
    """As many as are wanted, if there are as many, opened from the newest on."""
    newest = _newest(state, may)
    for at in range(0, len(newest), _READ_TOGETHER):
        if limit <= 0:
            return
        for memory in _as_they_are(state, newest[at : at + _READ_TOGETHER]):
            limit -= fits(memory)
            yield memory


def _newest(state: VaultState, may: Callable[[Record], bool]) -> list[bytes]:
    """The ids of those that may be wanted, most lately changed first."""
    found: list[tuple[int, bytes]] = []
    for row in state.store.current_records():
        if may(row.record):
            header = _header(row.record)
            found.append((sys.maxsize if header is None else header.updated, row.memory_id))
    _ = state.keys  # what was compared while the vault was open is true, and nothing else
    found.sort(key=lambda item: item[0], reverse=True)
    return [memory_id for _, memory_id in found]


def current_memories(
    state: VaultState, may: Callable[[Record], bool] = lambda _: True
) -> Iterator[Memory]:
    """Every current memory, opened, in order of id; each as it is when it is its turn.

    Args:
        state: the vault, unlocked.
        may: by what a record shows, whether it is opened at all.

    Raises:
        StoreAlteredError: at the end, where keys of some were changed in this device's folder.
        LockedError: the vault is locked, or was meanwhile.
    """
    states = dict(state.store.states())

    def standing() -> Iterator[tuple[bytes, MemoryState, Record]]:
        for row in state.store.current_records():
            memory, record = states.get(row.memory_id), row.record
            if memory is None or memory.current != row.version:  # written since this began
                now = state.store.standing([row.memory_id])
                if row.memory_id not in now:
                    continue
                memory, record = now[row.memory_id]
            _ = state.keys  # while it is locked, no record is compared with anything
            if may(record):
                yield row.memory_id, memory, record

    yield from _opened(state, standing())


def _as_they_are(state: VaultState, memory_ids: Sequence[bytes]) -> Iterator[Memory]:
    """These memories, opened, in this order, as they are now; those that are gone are left out.

    Raises:
        StoreAlteredError: as for :func:`current_memories`.
    """
    now = state.store.standing(memory_ids)
    yield from _opened(state, ((key, *now[key]) for key in memory_ids if key in now))


def _opened(
    state: VaultState, rows: Iterable[tuple[bytes, MemoryState, Record]]
) -> Iterator[Memory]:
    unopened: list[StoredRecord] = []
    for memory_id, memory, record in rows:
        try:
            yield open_memory(state, record, memory)
        except OpenError:
            unopened.append(StoredRecord(memory_id, memory.current, record))
    if unopened:
        raise spoilt(state, unopened)


def _header(record: Record) -> Header | None:
    """What a record shows; None where it shows nothing, so that it is opened, and named."""
    try:
        return parse_header(record.header)
    except FormatError:
        return None
