"""Memory keys on the owner's side: open records, decide when a key is stale, wrap for grants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.freshness import NEED_KEYS, is_stale, live_grants
from coffret.flows.grantfeed import ACTIVATING, ACTIVE, HOLDING, grant_wrapping, wrapping_for
from coffret_vault.errors import FormatError, OpenError
from coffret_vault.formats.memory import KEK, Header, Kek, Payload, Record, parse_header
from coffret_vault.formats.sharing import CREATE
from coffret_vault.grants.given import give_key
from coffret_vault.grants.select import covers, matches
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.records.memory import PENDING, REJECTED, Memory, Review, from_micros
from coffret_vault.records.seal import (
    Wrapping,
    open_version,
    to_memory,
    unwrap_memory_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coffret.flows.state import VaultState
    from coffret.flows.written import Wrap
    from coffret_vault.keyring import Keyring
    from coffret_vault.log.replay import MemoryState
    from coffret_vault.records.seal import Stamp
    from coffret_vault.store import GrantRow


_IN_FORCE = frozenset((ACTIVATING, ACTIVE))
"""An approval that was interrupted here is in force for every other device of its owner."""


class Opened(msgspec.Struct, frozen=True):
    """A record with what is inside, and its memory key."""

    header: Header
    payload: Payload
    key: SecretBytes


def open_record(state: VaultState, record: Record) -> Opened:
    """Open a record as the owner.

    Raises:
        OpenError: whatever the cause.
    """
    return _opened(record, lambda kek: wrapping_for(state, kek, {}))


def open_own(keyring: Keyring, record: Record) -> Opened:
    """Open a record that is wrapped for its owner, with these keys. Errors as above."""

    def wrapping(kek: Kek) -> Wrapping:
        if kek.grant_id is not None:
            raise OpenError
        return Wrapping(kek, keyring.kek("memory", kek.generation))

    return _opened(record, wrapping)


def _opened(record: Record, wrapping: Callable[[Kek], Wrapping]) -> Opened:
    try:
        header, kek = parse_header(record.header), KEK.decode(record.kek)
    except FormatError:
        raise OpenError from None
    key = unwrap_memory_key(header, record.wrap, wrapping(kek))
    return Opened(header, open_version(record.header, record.envelope, key), key)


def review_of(memory: MemoryState, version: int) -> Review:
    """What the log says of a version's review."""
    for proposal in memory.proposals:
        if proposal.version == version:
            return Review(REJECTED if proposal.rejected else PENDING)
    if memory.reviewed and version == memory.current:
        return Review(by="owner", at=from_micros(memory.reviewed))
    return Review()


def open_memory(state: VaultState, record: Record, memory: MemoryState) -> Memory:
    """A record as the owner sees it. Errors as :func:`open_record`."""
    return memory_of(open_record(state, record), memory)


def memory_of(opened: Opened, memory: MemoryState) -> Memory:
    """What was opened, as the owner sees it."""
    return to_memory(opened.header, opened.payload, review_of(memory, opened.header.version))


def next_key(
    state: VaultState, opened: Opened, memory: MemoryState, *, fresh: bool = False
) -> tuple[SecretBytes, int]:
    """The key and its number for a memory's next version, whose number a fresh key has.

    The same as before only where a grant may hold that, and it is not stale, nor a ``fresh`` one
    asked for: else what the memory said is nobody's to read who is given the next key. What an app
    wrote may be under a key that the app made, and keeps whatever its grant says: the owner's next
    version is under a fresh one, which only grants that may read are given.
    """
    if fresh or memory.author or is_stale(state, memory) or not _may_be_held(state, opened):
        return generate_key(state.ambient.random), memory.newest + 1
    return opened.key, opened.header.key_number


def _may_be_held(state: VaultState, opened: Opened) -> bool:
    """Whether some grant may hold a memory's key: this device is told by the server which do.

    Then the key is kept, as it may go on being handed over by another device that approves. So are
    all while this device hands over keys itself, or is yet to ask what others handed over.
    """
    live = [row for row in live_grants(state) if row.statement().scopes & NEED_KEYS]
    if not live:
        return False
    if state.store.meta(HOLDING) or any(row.state == ACTIVATING for row in live):
        return True
    holders = state.store.grants.holders(opened.header.memory_id)
    memory = to_memory(opened.header, opened.payload)
    grants = (row.statement() for row in live)
    return any(grant.grant_id in holders or covers(grant.selector, memory) for grant in grants)


def grant_wraps(
    state: VaultState,
    live: Sequence[GrantRow],
    memory: Memory,
    header: Header | Stamp,
    key: SecretBytes,
    before: int = 0,
) -> list[Wrap]:
    """The wraps that a new version needs.

    Of the ``live`` grants, for those that hold the memory's key up to now, which has number
    ``before`` (0 for a new memory), and for standing ones whose selector it matches. A grant that
    this device remembers with an older number has lost the memory since, on another device.
    """
    holders = state.store.grants.holders(header.memory_id) if live else {}
    wraps: list[Wrap] = []
    for row in live:
        grant = row.statement()
        standing = grant.standing and row.state in _IN_FORCE and matches(grant.selector, memory)
        held = holders.get(grant.grant_id) if grant.scopes & NEED_KEYS else None
        standing = standing and bool(grant.scopes & NEED_KEYS)
        if held == header.key_number or not (standing or (held and held == before)):
            continue
        wraps.append(given(state, row, header, key))
    return wraps


def given(state: VaultState, row: GrantRow, header: Header | Stamp, key: SecretBytes) -> Wrap:
    """A memory's key for one grant."""
    wrapping = grant_wrapping(state, row)
    wrap = give_key(state.keys.keyring, header, key, wrapping)
    return row.statement().grant_id, header.memory_id, header.key_number, wrap


def is_made_under(row: GrantRow, header: Header, record: Record) -> bool:
    """Whether a grant's app made this version under it, and may have: the grant can ``create``.

    The record says by which grant it came, in a part that is not in the log: a server, in league
    with the app, can put another grant of that app there, but none by which it could make nothing.
    """
    grant = row.statement()
    named = KEK.decode(record.kek).grant_id == grant.grant_id
    return named and CREATE in grant.scopes and header.author.app_id == grant.app_id


def can_open(state: VaultState, record: Record) -> bool:
    """Whether a record opens; what an app sealed badly does not."""
    try:
        open_record(state, record)
    except OpenError:
        return False
    return True
