"""A memory's older versions, and what the server sees."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from coffret.flows.http import Count, decode_json, decode_msgpack
from coffret.flows.keys import open_memory
from coffret.flows.memories import read_id
from coffret.flows.session import get, get_packed
from coffret.flows.sync import sync
from coffret_vault.errors import NotFoundError, OpenError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.entry import Entry, parse_leaf
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import Record
from coffret_vault.records.memory import Memory, from_micros
from coffret_vault.records.seal import author_text

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState


class Version(msgspec.Struct, frozen=True):
    """One step in a memory's history, from the verified log.

    Attributes:
        version: counts every change.
        author: ``owner`` or an app's id.
        at: when, by the author's clock.
        deletion: whether the step is a deletion.
        memory: the memory as it was; None for a deletion, or when its record is gone.
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

    Raises:
        NotFoundError: there never was such a memory.
        TrustError: the server shows a version that the log does not have, or leaves one out.
    """
    identifier = read_id(memory_id)
    memory = state.store.state(identifier)
    if memory is None:
        raise NotFoundError
    newest = memory.newest
    path = f"/memory-blobs/{id_text(identifier)}/versions"
    items = decode_msgpack((yield from get_packed(state, path)), list[_Item])
    if any(item.leaf >= state.position().size for item in items):
        yield from sync(state)
    known = {item.version for item in items}
    if not known.issuperset(range(1, newest + 1)):
        message = "the server withholds versions that the log says there are"
        raise TrustError(message)
    return [_version(state, identifier, item) for item in items]


def _version(state: VaultState, identifier: bytes, item: _Item) -> Version:
    leaf = state.store.leaf(item.leaf)
    entry = None if leaf is None else parse_leaf(leaf).entry
    if entry is None or (entry.subject, entry.version) != (identifier, item.version):
        message = "the server shows a version that the log does not have"
        raise TrustError(message)
    deletion = entry.kind == kinds.DELETE
    memory = None
    if item.record is not None and not deletion:
        memory = _opened(state, identifier, item.record, entry)
    return Version(
        entry.version, author_text(entry.author), from_micros(entry.time), deletion, memory
    )


def _opened(state: VaultState, identifier: bytes, record: Record, entry: Entry) -> Memory | None:
    if record.digest != entry.digest:
        message = "the server shows another version than the one in the log"
        raise TrustError(message)
    memory = state.store.state(identifier)
    if memory is None:
        return None
    try:
        opened = open_memory(state, record, memory)
    except OpenError:
        return None
    # An app can sign an entry over a record whose header says something else.
    said = (opened.id, opened.version, opened.author)
    fits = said == (id_text(identifier), entry.version, author_text(entry.author))
    return opened if fits else None


def server_view(state: VaultState) -> Flow[dict[str, Any]]:
    """Everything that the server says it keeps about this account."""
    return decode_json((yield from get(state, "/accounts/me/server-view")), dict[str, Any])
