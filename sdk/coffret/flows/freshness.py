"""Whether a memory's key may be known to someone who is to read no more; and fresh ones for it.

docs/spec/6-grants.md, After a revocation. A stale key is replaced at the owner's next write. Where
an app may write too, it would write under the stale key meanwhile, for all to read who have it: so
no app that may write is left with one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.grantfeed import REVOKED
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.formats.sharing import READ, UPDATE

if TYPE_CHECKING:
    from collections.abc import Collection

    from coffret.flows.state import VaultState
    from coffret_vault.formats.entry import Entry
    from coffret_vault.log.replay import MemoryState
    from coffret_vault.store import GrantRow


NEED_KEYS = frozenset((READ, UPDATE))
"""Scopes for which a grant is given the keys of memories."""


def live_grants(state: VaultState) -> list[GrantRow]:
    """The grants that are neither revoked nor past their end."""
    now = state.ambient.now()
    return [
        row
        for row in state.store.grants.all()
        if row.state != REVOKED and row.statement().expires > now
    ]


def standing_grants(state: VaultState) -> int:
    """How many of these are given what is new, where it matches."""
    return sum(row.statement().standing for row in live_grants(state))


def _begun(state: VaultState, memory: MemoryState) -> Entry | None:
    leaf = state.store.leaf(memory.begun)
    return parse_leaf(leaf).entry if leaf else None


def maker(state: VaultState, memory: MemoryState) -> bytes | None:
    """The app that made a memory, if the owner never wrote it: it made its key, and knows it."""
    made = _made_by_an_app(state, memory)
    return made.author.app_id if made else None


def _made_by_an_app(state: VaultState, memory: MemoryState) -> Entry | None:
    begun = _begun(state, memory) if memory.author or not memory.current else None
    return None if begun is None or begun.author.is_owner else begun


def is_stale(state: VaultState, memory: MemoryState) -> bool:
    """Whether someone may know the memory's key who is to read it no more, or never was.

    Because the owner's keys changed or a grant ended since that key was known to be fresh, or
    because an app made it that may not read. Decided from the signed log alone, so that a server
    which hides what a grant held cannot keep a revoked app's key in use.
    """
    if memory.begun < state.account.changed_at() or _by_a_stranger(state, memory):
        return True
    rows = state.store.grants.all()
    if any(row.revoked_at > memory.begun for row in rows):
        return True
    now = state.ambient.now()
    over = [row for row in rows if row.state != REVOKED and row.statement().expires <= now]
    if any(row.granted_at > memory.begun for row in over):
        return True  # it was given the key since, whatever a clock that was ahead said then
    if not over:
        return False
    begun = _begun(state, memory)
    # An app chooses the time of its entries, so for what it created no end of a grant is past.
    since = begun.time if begun and begun.author.is_owner else 0
    return any(since < row.statement().expires for row in over)


def counted_as_over(state: VaultState, memory: MemoryState, grants: Collection[bytes]) -> bool:
    """Whether one of these grants was over by the clock that a memory's key was made by.

    Then that clock was ahead of this one. Whoever is given the key nevertheless has it when the
    grant ends, and by the times in the log that was before the key was made.
    """
    begun = _begun(state, memory) if grants else None
    return begun is not None and any(
        row.statement().expires <= begun.time and row.granted_at < memory.begun
        for row in state.store.grants.all()
        if row.statement().grant_id in grants
    )


def _by_a_stranger(state: VaultState, memory: MemoryState) -> bool:
    """Whether an app made the key that has no grant by which it may read that memory.

    That it may read others says nothing: they have keys of their own.
    """
    made = _made_by_an_app(state, memory)
    if made is None:
        return False
    holders = state.store.grants.holders(made.subject)
    return not any(
        row.statement().app_id == made.author.app_id
        and row.statement().scopes & NEED_KEYS
        and row.statement().grant_id in holders
        for row in live_grants(state)
    )


def exposed(state: VaultState) -> list[bytes]:
    """The memories with a stale key under which an app may write."""
    held: set[bytes] = set()
    for row in live_grants(state):
        grant = row.statement()
        if UPDATE in grant.scopes:
            held.update(state.store.grants.memories(grant.grant_id))
    return stale_among(state, sorted(held))


def stale_among(state: VaultState, memories: list[bytes]) -> list[bytes]:
    """Those of these memories that are current and here, and have a stale key."""
    found = []
    for memory_id in memories:
        memory = state.store.state(memory_id)
        if memory is None or not memory.current or not is_stale(state, memory):
            continue
        if state.store.record(memory_id, memory.current) is not None:
            found.append(memory_id)
    return found
